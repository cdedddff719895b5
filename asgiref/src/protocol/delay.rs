//! Messages to be sent later ([ASGI: Delay]).
//!
//! [ASGI: Delay]: https://channels.readthedocs.io/en/1.x/asgi/delay.html

use std::time::Duration;

use crate::error::{Error, Result};
use crate::message::Message;
use crate::name::ChannelName;
use crate::protocol::fields::{self, Fields, debug_as_message, try_from_owned};
use crate::value::{Value, ValueKind};

/// Where programs send [`DelayedMessage`]s, and the delay server receives them.
pub const DELAY: ChannelName = ChannelName::from_static("asgi.delay");

const CHANNEL: &str = "channel";
const CONTENT: &str = "content";
const DELAY_KEY: &str = "delay";

/// `asgi.delay`: a message that the delay server sends on after some time.
///
/// ```
/// use std::time::Duration;
/// use asgiref::{ChannelName, Message, message};
/// use asgiref::protocol::delay::DelayedMessage;
///
/// let delayed = DelayedMessage {
///     channel: ChannelName::new("reminders")?,
///     delay: Duration::from_secs(10),
///     content: message! { "user" => 42 },
/// };
/// assert_eq!(Message::from(delayed).int("delay")?, 10_000);
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct DelayedMessage {
    /// Where the content goes in the end.
    pub channel: ChannelName,
    /// How long it is held back: in the message a positive number of milliseconds, to which a
    /// fraction is rounded up.
    pub delay: Duration,
    /// What is sent.
    pub content: Message,
}

impl TryFrom<&Message> for DelayedMessage {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::MissingKey`], [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key.
    fn try_from(message: &Message) -> Result<Self> {
        let delay = message.int(DELAY_KEY)?;
        if delay <= 0 {
            return Err(Error::invalid_message(
                DELAY_KEY,
                format_args!("must be a positive number of milliseconds, and is {delay}"),
            ));
        }
        Ok(Self {
            channel: fields::channel(CHANNEL, message.text(CHANNEL)?)?,
            delay: Duration::from_millis(delay.unsigned_abs()),
            content: content(message)?,
        })
    }
}

impl From<DelayedMessage> for Message {
    fn from(delayed: DelayedMessage) -> Self {
        let milliseconds = delayed.delay.as_nanos().div_ceil(1_000_000).max(1);
        let mut fields = Fields::with_capacity(3);
        fields.put(CHANNEL, delayed.channel);
        fields.put(DELAY_KEY, i64::try_from(milliseconds).unwrap_or(i64::MAX));
        fields.put(CONTENT, delayed.content);
        fields.into_message()
    }
}

debug_as_message!(DelayedMessage);
try_from_owned!(DelayedMessage);

fn content(message: &Message) -> Result<Message> {
    match message.get(CONTENT) {
        Some(Value::Map(map)) => Ok(Message::from(map.clone())),
        Some(other) => Err(fields::wrong_type(CONTENT, ValueKind::Map, other)),
        None => Err(Error::MissingKey {
            key: CONTENT.to_owned(),
        }),
    }
}
