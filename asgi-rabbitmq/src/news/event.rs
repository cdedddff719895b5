use std::time::{SystemTime, UNIX_EPOCH};

use asgiref::codec::Codec;
use asgiref::{ChannelName, Error, Message, Result};
use bytes::Bytes;

const WHAT: &str = "what";
const CHANNEL: &str = "channel";
const TIME: &str = "time";
const NUMBER: &str = "number";
const NAME: &str = "name";

/// Something that a process tells others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A channel joined the group, again or for the first time; when, in seconds of Unix time.
    Joined { channel: ChannelName, time: f64 },
    /// A channel left the group.
    Left { channel: ChannelName },
    /// A message on the channel expired unread, which ends memberships that are older.
    Expired { channel: ChannelName, time: f64 },
    /// There is a queue or a group of this name.
    Named { name: String },
    /// All messages and groups were removed.
    Flushed,
    /// Whoever sent this has it back, and all that came before it.
    Mark { number: i64 },
}

impl Event {
    /// As it is published: a message like any other, never encrypted, as names are not.
    pub(crate) fn encode(&self) -> Result<Bytes> {
        let mut message = Message::with_capacity(3);
        match self {
            Self::Joined { channel, time } => {
                message.insert(WHAT, "joined");
                message.insert(CHANNEL, channel.as_str());
                message.insert(TIME, *time);
            }
            Self::Left { channel } => {
                message.insert(WHAT, "left");
                message.insert(CHANNEL, channel.as_str());
            }
            Self::Expired { channel, time } => {
                message.insert(WHAT, "expired");
                message.insert(CHANNEL, channel.as_str());
                message.insert(TIME, *time);
            }
            Self::Named { name } => {
                message.insert(WHAT, "named");
                message.insert(NAME, name.as_str());
            }
            Self::Flushed => {
                message.insert(WHAT, "flushed");
            }
            Self::Mark { number } => {
                message.insert(WHAT, "mark");
                message.insert(NUMBER, *number);
            }
        }
        Codec::new().encode(&message)
    }

    pub(crate) fn decode(body: Bytes) -> Result<Self> {
        let message = Codec::new().decode(body)?;
        let channel = || ChannelName::new(message.text(CHANNEL)?.as_ref() as &str);
        let time = || message.float(TIME);
        Ok(match message.text(WHAT)?.as_ref() as &str {
            "joined" => Self::Joined {
                channel: channel()?,
                time: time()?,
            },
            "left" => Self::Left {
                channel: channel()?,
            },
            "expired" => Self::Expired {
                channel: channel()?,
                time: time()?,
            },
            "named" => Self::Named {
                name: message.text(NAME)?.to_string(),
            },
            "flushed" => Self::Flushed,
            "mark" => Self::Mark {
                number: message.int(NUMBER)?,
            },
            _ => return Err(Error::invalid_message(WHAT, "it is no known event")),
        })
    }
}

/// Seconds of Unix time.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_were_written() {
        let channel = ChannelName::from_static("daphne.response.AbC!XyZ");
        for event in [
            Event::Joined {
                channel: channel.clone(),
                time: 1.5,
            },
            Event::Left {
                channel: channel.clone(),
            },
            Event::Expired { channel, time: 2.5 },
            Event::Named {
                name: "a".to_owned(),
            },
            Event::Flushed,
            Event::Mark { number: -3 },
        ] {
            let read = Event::decode(event.encode().unwrap());
            assert_eq!(read.unwrap(), event);
        }
        assert!(Event::decode(Bytes::from_static(b"\x80")).is_err());
        assert!(Event::decode(Bytes::from_static(b"nonsense")).is_err());
    }
}
