//! Typed views of the message formats protocols agree on ([ASGI: Message Formats]).
//!
//! A protocol server fills in a struct and turns it into a [`Message`](crate::Message); an
//! application turns the message it received back into the struct. Neither copies a body, a
//! text or a header: they are shared with the message.
//!
//! `TryFrom<&Message>` checks what the format prescribes (keys, types, ranges) and its error names
//! the key. Keys the format does not know are ignored, except where a format says otherwise.
//! `From<…> for Message` checks nothing: what a program writes is the program's responsibility.
//!
//! ```
//! use asgiref::{Message, message};
//! use asgiref::protocol::websocket::{Frame, Reply};
//!
//! let reply = Reply::try_from(&message! { "text" => "hello", "close" => true })?;
//! assert_eq!(reply.frame, Some(Frame::Text("hello".into())));
//! assert_eq!(reply.close, Some(1000));
//!
//! let error = Reply::try_from(&message! { "close" => 999 }).unwrap_err();
//! assert_eq!(error.to_string(), "message key `close`: 999 is not a close code that may be sent");
//! # Ok::<(), asgiref::Error>(())
//! ```
//!
//! [ASGI: Message Formats]: https://channels.readthedocs.io/en/1.x/asgi.html#message-formats

mod address;
pub mod delay;
mod fields;
mod headers;
pub mod http;
pub mod udp;
pub mod websocket;

pub use address::Address;
pub use headers::{Headers, HeadersRef};
