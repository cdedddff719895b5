//! One message for many channels of one process.
//!
//! A group may have thousands of members at one protocol server. A process that reads envelopes
//! says so (`P:reader:` + queue), and gets one stored body for all of them: a map with the encoded
//! message under `message` and the local parts of the members under `locals`. The form stands in
//! the body's key, so that no message of an application can be mistaken for an envelope.

use asgiref::codec::Codec;
use asgiref::{ChannelName, Error, Message, Result, Value};
use bytes::Bytes;

const MESSAGE: &str = "message";
const LOCALS: &str = "locals";

/// How many members one envelope is for, at most.
pub(crate) const MAX_MEMBERS: usize = 10_000;

/// The body of an envelope; `message` is encoded but not encrypted.
pub(crate) fn seal(codec: &Codec, message: &Bytes, locals: Vec<Value>) -> Result<Bytes> {
    let mut envelope = Message::with_capacity(2);
    envelope.insert(MESSAGE, message.clone());
    envelope.insert(LOCALS, Value::List(locals));
    codec.encode(&envelope)
}

/// The message in an envelope and the channels of `queue` it is for.
pub(crate) fn open(
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
