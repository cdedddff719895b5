//! Which queues and exchanges stand for channels and groups.
//!
//! With `P` for the prefix, which is empty unless set:
//!
//! | name | kind | what it is |
//! |---|---|---|
//! | `P` + channel, up to the `!` | queue | the channel; as Python's layer declares it |
//! | `P` + `dead-letters` | fanout exchange | where expired messages go; as Python's layer has it |
//! | `P` + `asgi:dead-letters` | queue | expired messages, for whichever process has time |
//! | `P` + `asgi:full:` + channel | queue of one | whose message it holds may fill the channel's last half |
//! | `P` + `asgi:groups` | direct exchange | who joins and leaves groups, by group |
//! | `P` + `asgi:group:` + group | queue | the same for one group, kept |
//! | `P` + `asgi:news` | fanout exchange | what all processes must know: expired members, flushes |
//! | `P` + `asgi:members` | direct exchange | the same, by the member's queue, for the groups' queues |
//! | `P` + `asgi:envelopes` | direct exchange | messages for many channels of one process |
//! | `P` + `asgi:names` | queue | which queues there are, for a flush |
//! | `P` + `asgi:process:` + random | queue of one connection | what one process hears of groups |
//!
//! No channel or group name contains a colon, so that these never collide with channels.

use std::time::Duration;

use asgiref::{Error, LayerConfig, Result};
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// The longest time RabbitMQ can measure, in milliseconds.
const MAX_TIME: u128 = u32::MAX as u128;

/// The longest prefix in bytes: with the longest name of a channel a name of AMQP must remain.
const MAX_PREFIX: usize = 32;

/// The header with the local part of a process-specific channel's name.
pub(crate) const CHANNEL_HEADER: &str = "asgi_channel";

/// Names and arguments of everything that is declared.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    prefix: String,
    /// Whether queues outlive a restart of the broker, as brokers without deprecated features
    /// want it.
    durable: bool,
    /// In milliseconds.
    expiry: i64,
    group_expiry: i64,
}

impl Topology {
    pub(crate) fn new(prefix: &str, durable: bool, config: &LayerConfig) -> Result<Self> {
        if prefix.len() > MAX_PREFIX {
            let reason = format!("must have no more than {MAX_PREFIX} bytes");
            return Err(Error::config("prefix", reason));
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            durable,
            expiry: milliseconds(config.message_expiry()),
            group_expiry: milliseconds(config.membership_expiry()),
        })
    }

    // ---- Names

    pub(crate) fn queue(&self, channel: &str) -> String {
        format!("{}{channel}", self.prefix)
    }

    /// The channel whose queue this is.
    pub(crate) fn channel_of<'q>(&self, queue: &'q str) -> Option<&'q str> {
        queue.strip_prefix(&self.prefix)
    }

    pub(crate) fn dead_letters(&self) -> ShortString {
        self.name("dead-letters", "")
    }

    pub(crate) fn own_dead_letters(&self) -> ShortString {
        self.name("asgi:dead-letters", "")
    }

    pub(crate) fn turn(&self, channel: &str) -> ShortString {
        self.name("asgi:full:", channel)
    }

    pub(crate) fn name(&self, kind: &str, of: &str) -> ShortString {
        format!("{}{kind}{of}", self.prefix).into()
    }

    // ---- Messages

    /// The text of a message's `expiration`.
    pub(crate) fn expiration(&self) -> ShortString {
        self.expiry.to_string().into()
    }

    // ---- Declarations

    /// Every queue is declared with these: not exclusive, and never deleted with its consumers.
    pub(crate) fn queue_options(&self) -> QueueDeclareOptions {
        QueueDeclareOptions {
            durable: self.durable,
            ..QueueDeclareOptions::default()
        }
    }

    pub(crate) fn exchange_options(&self) -> ExchangeDeclareOptions {
        ExchangeDeclareOptions {
            durable: self.durable,
            ..ExchangeDeclareOptions::default()
        }
    }

    /// The arguments of a channel's queue: those of the original.
    pub(crate) fn queue_arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        let dead_letters = self.dead_letters();
        let dead_letters = AMQPValue::LongString(dead_letters.as_str().into());
        arguments.insert("x-dead-letter-exchange".into(), dead_letters);
        arguments.insert("x-expires".into(), integer(self.lease()));
        arguments
    }

    /// How long an unused queue of a channel stays, in milliseconds.
    pub(crate) fn lease(&self) -> i64 {
        self.expiry.saturating_mul(2).min(MAX_TIME as i64)
    }

    /// The arguments of a queue that is only there to be taken turns with.
    pub(crate) fn turn_arguments(turn: Duration) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), integer(1));
        let overflow = AMQPValue::LongString("reject-publish".into());
        arguments.insert("x-overflow".into(), overflow);
        arguments.insert("x-message-ttl".into(), integer(milliseconds(turn)));
        arguments.insert("x-expires".into(), integer(60_000));
        arguments
    }
}

/// An integer as the original encodes it, if it fits.
pub(crate) fn integer(number: i64) -> AMQPValue {
    match i32::try_from(number) {
        Ok(number) => AMQPValue::LongInt(number),
        Err(_) => AMQPValue::LongLongInt(number),
    }
}

/// At least one, at most what RabbitMQ can measure.
fn milliseconds(duration: Duration) -> i64 {
    duration.as_millis().clamp(1, MAX_TIME) as i64
}
