//! What the members of a group get.

use asgiref::codec::{CHANNEL_KEY, Codec, envelope};
use asgiref::{ChannelKind, ChannelName, Message, Result, Value};
use bytes::Bytes;

use crate::keys::digest;
use crate::shard::Shards;

/// One body.
pub(super) struct Part {
    pub(super) kind: &'static str,
    /// The channel's name or the body, depending on the kind.
    pub(super) value: Bytes,
    pub(super) tail: String,
    pub(super) members: usize,
}

/// The forms of one message that members get.
pub(super) struct Bodies<'m> {
    message: &'m Message,
    /// Not encrypted.
    encoded: Bytes,
    /// What normal and single-reader channels get.
    pub(super) plain: Bytes,
    /// What process-specific channels get, up to the name of the channel; empty if every channel
    /// needs a body of its own, because bodies are encrypted.
    pub(super) named: Bytes,
}

impl<'m> Bodies<'m> {
    pub(super) fn new(shards: &Shards, message: &'m Message) -> Result<Self> {
        let plain = shards.codec.encode(message)?;
        let encoded = Codec::new().encode(message)?;
        let encrypted = plain != encoded;
        let named = if encrypted {
            Bytes::new()
        } else {
            named(&encoded, message.len())
        };
        Ok(Self {
            message,
            encoded,
            plain,
            named,
        })
    }

    pub(super) fn are_encrypted(&self) -> bool {
        self.named.is_empty()
    }

    pub(super) fn single(&self, shards: &Shards, channel: &ChannelName) -> Result<Part> {
        let (kind, value) = match channel.kind() {
            ChannelKind::ProcessSpecific if self.are_encrypted() => {
                ("whole", shards.codec.encode_for(channel, self.message)?)
            }
            ChannelKind::ProcessSpecific => {
                ("named", Bytes::copy_from_slice(channel.as_str().as_bytes()))
            }
            _ => ("plain", Bytes::new()),
        };
        Ok(Part {
            kind,
            value,
            tail: shards.unique.tail(&digest(channel.as_str()), false),
            members: 1,
        })
    }

    pub(super) fn shared(&self, shards: &Shards, channels: &[&ChannelName]) -> Result<Part> {
        let locals = channels
            .iter()
            .map(|channel| Value::from(channel.local_part().unwrap_or("")));
        let queue = channels[0].non_local();
        Ok(Part {
            kind: "whole",
            value: envelope::seal(&shards.codec, &self.encoded, locals.collect())?,
            tail: shards.unique.tail(&digest(queue), true),
            members: channels.len(),
        })
    }
}

/// The encoded map `encoded` with one more entry, the channel's name, whose value is missing.
fn named(encoded: &[u8], entries: usize) -> Bytes {
    let head = match entries {
        0..=15 => 1,
        16..=0xffff => 3,
        _ => 5,
    };
    let mut named = Vec::with_capacity(encoded.len() + 24);
    match entries + 1 {
        entries @ 0..=15 => named.push(0x80 | entries as u8),
        entries @ 16..=0xffff => {
            named.push(0xde);
            named.extend_from_slice(&(entries as u16).to_be_bytes());
        }
        entries => {
            named.push(0xdf);
            named.extend_from_slice(&(entries as u32).to_be_bytes());
        }
    }
    named.extend_from_slice(&encoded[head..]);
    named.push(0xa0 | CHANNEL_KEY.len() as u8);
    named.extend_from_slice(CHANNEL_KEY.as_bytes());
    named.into()
}

#[cfg(test)]
mod tests {
    use asgiref::message;

    use super::*;

    #[test]
    fn a_named_body_is_what_the_codec_makes() {
        let codec = Codec::new();
        for entries in [0, 1, 14, 15, 16, 17, 70_000] {
            let mut message = message! {};
            for entry in 0..entries {
                message.insert(format!("{entry}"), entry);
            }
            let encoded = codec.encode(&message).unwrap();
            for name in ["p!x", "process.specific.name.of.forty.bytes!XxxxXxxx"] {
                let channel = ChannelName::new(name).unwrap();
                let mut body = named(&encoded, message.len()).to_vec();
                if name.len() < 32 {
                    body.push(0xa0 | name.len() as u8);
                } else {
                    body.extend([0xd9, name.len() as u8]);
                }
                body.extend(name.as_bytes());
                assert_eq!(codec.encode_for(&channel, &message).unwrap(), body);
            }
        }
    }
}
