//! Messages as bytes: what layers that store messages outside the process write and read.
//!
//! The format is [MessagePack], byte for byte as the Python layers of the ASGI draft wrote it: a
//! map in the order of its keys, integers in their shortest form, floats in 64 bits, text as `str`
//! and byte strings as `bin`. A message to a process-specific channel carries the channel's full
//! name under the key [`CHANNEL_KEY`], because its queue is only named up to the `!`.
//!
//! ```
//! use asgiref::codec::Codec;
//! use asgiref::{ChannelName, message};
//!
//! let codec = Codec::new();
//! let message = message! { "text" => "hello" };
//!
//! let bytes = codec.encode_for(&ChannelName::new("daphne.response.AbC!XyZ")?, &message)?;
//! let queue = ChannelName::new("daphne.response.AbC!")?;
//! let (channel, received) = codec.decode_with_channel(&queue, bytes)?;
//! assert_eq!(channel, "daphne.response.AbC!XyZ");
//! assert_eq!(received, message);
//! # Ok::<(), asgiref::Error>(())
//! ```
//!
//! # What is read
//!
//! More than is written: any form of a length or an integer, 32-bit floats, and `bin` keys that
//! are UTF-8, as Python 2 wrote them. Of a key that comes twice the last value counts. Refused,
//! with [`Error::Decode`], are extension types, integers above 2^63 - 1, keys that are not text,
//! text that is not UTF-8, a top level that is not a map, and bytes after its end.
//!
//! Bytes from outside are not trusted: their size, the number of values in them
//! ([`MAX_VALUES`]) and the depth of their nesting ([`Value::MAX_DEPTH`]) are limited, and memory is
//! taken for what is there, not for what a length announces. The same limits hold for writing, so
//! that nothing is sent that cannot be read.
//!
//! [MessagePack]: https://github.com/msgpack/msgpack/blob/master/spec.md

mod decode;
mod encode;
pub mod envelope;

use bytes::Bytes;

#[cfg(feature = "encryption")]
use crate::crypto::Encryption;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::name::{ChannelKind, ChannelName};
use crate::value::Value;

/// The key under which a message to a process-specific channel carries the channel's full name.
/// Messages must not use it themselves.
pub const CHANNEL_KEY: &str = "__asgi_channel__";

/// How many values a message may hold, those in its lists and maps and these themselves included:
/// 524,288, the most that fit into one megabyte of JSON, which every layer must carry.
pub const MAX_VALUES: usize = 1 << 19;

/// The largest encoded message unless [`Codec::limit`] says otherwise, in bytes: 16 MiB.
///
/// A message of one megabyte of JSON takes up to 2.25 megabytes, if it is all short floats.
pub const DEFAULT_LIMIT: usize = 16 << 20;

/// Turns messages into bytes and back; see the [module](self).
#[derive(Clone, Debug)]
pub struct Codec {
    limit: usize,
    #[cfg(feature = "encryption")]
    encryption: Option<Encryption>,
}

impl Codec {
    /// A codec for messages of up to [`DEFAULT_LIMIT`] bytes, without encryption.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            #[cfg(feature = "encryption")]
            encryption: None,
        }
    }

    /// The largest encoded message, in bytes before encryption. At most 2^32 - 1.
    #[must_use]
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = if bytes > u32::MAX as usize {
            u32::MAX as usize
        } else {
            bytes
        };
        self
    }

    /// Encrypts what is encoded, and expects it of what is decoded.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = Some(encryption);
        self
    }

    /// The bytes of `message`.
    ///
    /// # Errors
    ///
    /// [`Error::MessageTooLarge`], with the size the message would have.
    /// [`Error::InvalidMessage`] if it has the key [`CHANNEL_KEY`], is nested deeper than
    /// [`Value::MAX_DEPTH`] or holds more than [`MAX_VALUES`].
    pub fn encode(&self, message: &Message) -> Result<Bytes> {
        self.write(message, None)
    }

    /// The bytes of `message` on its way to `channel`: with the channel's name if that is
    /// process-specific.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_for(&self, channel: &ChannelName, message: &Message) -> Result<Bytes> {
        let named = channel.kind() == ChannelKind::ProcessSpecific;
        self.write(message, named.then_some(channel))
    }

    /// The message in `bytes`. Its texts and byte strings are parts of `bytes`, which therefore
    /// stay in memory as long as any of them.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] if the bytes are not a message, [`Error::MessageTooLarge`] if they are
    /// more than the limit, [`Error::Decrypt`] if they are not encrypted as they should be.
    pub fn decode(&self, bytes: Bytes) -> Result<Message> {
        #[cfg(feature = "encryption")]
        if let Some(encryption) = &self.encryption {
            within(bytes.len(), Encryption::encrypted_size(self.limit))?;
            return decode::decode(encryption.decrypt(&bytes)?);
        }
        within(bytes.len(), self.limit)?;
        decode::decode(bytes)
    }

    /// The message in `bytes` that were taken from the queue of the channel `queue` (named up to
    /// the `!` if process-specific), and the full name of the channel it was sent to.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode). [`Error::InvalidMessage`] if the message names a channel that
    /// does not belong to the queue, or any although the queue's kind needs none, and
    /// [`Error::InvalidName`] if that is no channel name.
    pub fn decode_with_channel(
        &self,
        queue: &ChannelName,
        bytes: Bytes,
    ) -> Result<(ChannelName, Message)> {
        let mut message = self.decode(bytes)?;
        let channel = match message.remove(CHANNEL_KEY) {
            None => queue.clone(),
            Some(Value::Text(name)) => {
                let channel = ChannelName::new(name)?;
                if channel.kind() != ChannelKind::ProcessSpecific
                    || channel.non_local() != queue.as_str()
                {
                    let reason = format!("{channel} is none of the channels of {queue}");
                    return Err(Error::invalid_message(CHANNEL_KEY, reason));
                }
                channel
            }
            Some(other) => {
                let reason = format!("it is {}, not text", other.kind());
                return Err(Error::invalid_message(CHANNEL_KEY, reason));
            }
        };
        Ok((channel, message))
    }

    fn write(&self, message: &Message, channel: Option<&ChannelName>) -> Result<Bytes> {
        let size = encode::measure(message, channel)?;
        within(size, self.limit)?;
        let bytes = encode::encode(message, channel, size);
        #[cfg(feature = "encryption")]
        if let Some(encryption) = &self.encryption {
            return Ok(encryption.encrypt(&bytes));
        }
        Ok(bytes)
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

const fn within(size: usize, limit: usize) -> Result<()> {
    if size > limit {
        return Err(Error::MessageTooLarge { size, limit });
    }
    Ok(())
}
