//! What an application says to a connection.

use bytestring::ByteString;

use super::close::{NORMAL_CLOSURE, is_valid_close_code};
use super::frame::{BYTES, Frame, TEXT};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::protocol::fields::{self, Fields, debug_as_message, try_from_owned, wrong_type};
use crate::protocol::headers::is_token_byte;
use crate::value::{Value, ValueKind};

const ACCEPT: &str = "accept";
const CLOSE: &str = "close";
const SUBPROTOCOL: &str = "subprotocol";

/// What an application sends to a connection, on its reply channel: any of acceptance or
/// rejection, a frame, and the end.
///
/// While the client waits to be accepted, a frame accepts it and a close without a frame rejects
/// it.
///
/// ```
/// use asgiref::Message;
/// use asgiref::protocol::websocket::Reply;
///
/// let farewell = Message::from(Reply { close: Some(4001), ..Reply::frame("bye") });
/// assert_eq!(farewell.text("text")?, "bye");
/// assert_eq!(farewell.int("close")?, 4001);
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Default, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Reply {
    /// Accept (true) or reject (false) a client that waits; no effect afterwards.
    pub accept: Option<bool>,
    /// What to send: the key `text` or `bytes`, which may be empty if the other one is absent.
    pub frame: Option<Frame>,
    /// Close the connection with this code after the frame is sent. In the message `true` is
    /// [`NORMAL_CLOSURE`]; `false` and 0 are as if absent.
    pub close: Option<u16>,
    /// The subprotocol to accept the connection with: one of those the client offered. An
    /// addition to the specification, which leaves the choice to the protocol server.
    pub subprotocol: Option<ByteString>,
}

impl Reply {
    /// Accepts the connection.
    #[must_use]
    pub fn accept() -> Self {
        Self {
            accept: Some(true),
            ..Self::default()
        }
    }

    /// Rejects a connection that waits to be accepted.
    #[must_use]
    pub fn reject() -> Self {
        Self {
            accept: Some(false),
            ..Self::default()
        }
    }

    /// Sends `frame`.
    pub fn frame(frame: impl Into<Frame>) -> Self {
        Self {
            frame: Some(frame.into()),
            ..Self::default()
        }
    }

    /// Closes the connection with `code`, or rejects one that waits to be accepted.
    #[must_use]
    pub fn close(code: u16) -> Self {
        Self {
            close: Some(code),
            ..Self::default()
        }
    }
}

impl TryFrom<&Message> for Reply {
    type Error = Error;

    /// The keys `reply_channel`, `path` and `order` are ignored, so that an application may send
    /// back what it received.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key; also for a key that is
    /// not part of the format.
    fn try_from(message: &Message) -> Result<Self> {
        for key in message.keys() {
            match key.as_ref() {
                TEXT | BYTES | CLOSE | ACCEPT | SUBPROTOCOL => {}
                fields::REPLY_CHANNEL | fields::PATH | fields::ORDER => {}
                unknown => {
                    return Err(Error::invalid_message(
                        shown(unknown),
                        "is not a key of a reply to a WebSocket, which are `accept`, `text`, \
                         `bytes`, `close` and `subprotocol`",
                    ));
                }
            }
        }
        Ok(Self {
            accept: message.opt_bool(ACCEPT)?,
            frame: Frame::read(message)?,
            close: close(message)?,
            subprotocol: subprotocol(message)?,
        })
    }
}

impl From<Reply> for Message {
    fn from(reply: Reply) -> Self {
        let mut fields = Fields::with_capacity(2);
        fields.put_some(ACCEPT, reply.accept);
        if let Some(frame) = reply.frame {
            frame.put_into(&mut fields);
        }
        fields.put_some(CLOSE, reply.close);
        fields.put_some(SUBPROTOCOL, reply.subprotocol);
        fields.into_message()
    }
}

debug_as_message!(Reply);
try_from_owned!(Reply);

fn close(message: &Message) -> Result<Option<u16>> {
    let code = match message.get(CLOSE) {
        None | Some(Value::Null | Value::Bool(false) | Value::Int(0)) => return Ok(None),
        Some(Value::Bool(true)) => return Ok(Some(NORMAL_CLOSURE)),
        Some(Value::Int(code)) => *code,
        Some(other) => return Err(wrong_type(CLOSE, ValueKind::Int, other)),
    };
    match u16::try_from(code) {
        Ok(valid) if is_valid_close_code(valid) => Ok(Some(valid)),
        _ => Err(Error::invalid_message(
            CLOSE,
            format_args!("{code} is not a close code that may be sent"),
        )),
    }
}

fn subprotocol(message: &Message) -> Result<Option<ByteString>> {
    let Some(name) = message.opt_text(SUBPROTOCOL)? else {
        return Ok(None);
    };
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(Error::invalid_message(
            SUBPROTOCOL,
            format_args!("{} is not a subprotocol name", Value::Text(name.clone())),
        ));
    }
    Ok(Some(name.clone()))
}

/// An unknown key in an error, cut to 64 characters.
fn shown(key: &str) -> String {
    key.chars().take(64).collect()
}
