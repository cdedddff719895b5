//! One message for many channels of one process, for layers that store messages outside the
//! process.
//!
//! A group may have thousands of members at one protocol server. Instead of a message for each, a
//! layer stores one envelope: a map with the encoded message under `message` and the local parts
//! of the members' names under `locals`. The layer says beside the body that it is an envelope, so
//! that no message of an application can be mistaken for one, and sends it only to readers that
//! know the form.
//!
//! ```
//! use asgiref::codec::{Codec, envelope};
//! use asgiref::{ChannelName, Value, message};
//!
//! let codec = Codec::new();
//! let message = message! { "text" => "hello" };
//! let locals = vec![Value::from("ann"), Value::from("bob")];
//! let body = envelope::seal(&codec, &codec.encode(&message)?, locals)?;
//!
//! let queue = ChannelName::new("daphne.response.AbC!")?;
//! let (received, channels) = envelope::open(&codec, &codec, &queue, body)?;
//! assert_eq!(received, message);
//! assert_eq!(channels[1], "daphne.response.AbC!bob");
//! # Ok::<(), asgiref::Error>(())
//! ```

use bytes::Bytes;

use super::Codec;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::name::ChannelName;
use crate::value::Value;

const MESSAGE: &str = "message";
const LOCALS: &str = "locals";

/// How many members one envelope is for, at most.
pub const MAX_MEMBERS: usize = 10_000;

/// The body of an envelope with `message`, which is encoded but not encrypted, for the channels with
/// the local parts `locals`, which are texts.
///
/// # Errors
///
/// As [`Codec::encode`].
pub fn seal(codec: &Codec, message: &Bytes, locals: Vec<Value>) -> Result<Bytes> {
    let mut envelope = Message::with_capacity(2);
    envelope.insert(MESSAGE, message.clone());
    envelope.insert(LOCALS, Value::List(locals));
    codec.encode(&envelope)
}

/// The message in an envelope and the channels of `queue` it is for. `plain` is a codec without
/// encryption, for the message, which is encrypted only as part of the envelope.
///
/// # Errors
///
/// As [`Codec::decode`]; [`Error::InvalidMessage`] and others if the map is not an envelope.
pub fn open(
    codec: &Codec,
    plain: &Codec,
    queue: &ChannelName,
    body: Bytes,
) -> Result<(Message, Vec<ChannelName>)> {
    let envelope = codec.decode(body)?;
    let message = plain.decode(envelope.bytes(MESSAGE)?.clone())?;
    let locals = envelope.list(LOCALS)?.iter().map(|local| match local {
        Value::Text(local) => queue.with_local_part(local),
        other => Err(Error::invalid_message(
            LOCALS,
            format_args!("it holds {}, not text", other.kind()),
        )),
    });
    Ok((message, locals.collect::<Result<_>>()?))
}
