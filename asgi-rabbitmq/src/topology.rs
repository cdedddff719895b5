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
//! | `P` + `asgi:reader:` + channel | queue, empty | its process reads envelopes |
//! | `P` + `asgi:data:` + random | queue with one message | of one process: gone if the broker was emptied |
//! | `P` + `asgi:names` | queue | which queues there are, for a flush |
//! | `P` + `asgi:process:` + random | queue of one connection | what one process hears of groups |
//!
//! No channel or group name contains a colon, so that these never collide with channels.

use std::sync::Arc;
use std::time::Duration;

use asgiref::{Error, GroupName, LayerConfig, Result};
use lapin::ExchangeKind;
use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::connection::Session;

/// The longest time RabbitMQ can measure, in milliseconds.
const MAX_TIME: u128 = u32::MAX as u128;

/// The longest prefix in bytes: with the longest name of a channel a name of AMQP must remain.
const MAX_PREFIX: usize = 32;

/// How long a log is kept when its last event may have expired, in milliseconds.
const LOG_GRACE: i64 = 60_000;

/// How many events a log holds. Beyond that the oldest are lost.
const MAX_LOG: i64 = 1_000_000;

/// How many expired messages wait for a process to have time.
const MAX_DEAD: i64 = 10_000;

/// What the property `type` of an envelope says; no message of an application has it.
pub(crate) const ENVELOPE: &str = "asgi.envelope";

/// Begins the names of the queues whose message ends with a membership.
pub(crate) const MARKER: &str = "expire.bind.";

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

    /// What all names begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn queue(&self, channel: &str) -> String {
        format!("{}{channel}", self.prefix)
    }

    /// The channel whose queue this is.
    pub(crate) fn channel_of<'q>(&self, queue: &'q str) -> Option<&'q str> {
        queue.strip_prefix(&self.prefix)
    }

    /// The exchange that expired messages go to.
    pub(crate) fn dead_letters(&self) -> ShortString {
        self.name("dead-letters", "")
    }

    /// The queue of those that wait for a process to have time.
    pub(crate) fn own_dead_letters(&self) -> ShortString {
        self.name("asgi:dead-letters", "")
    }

    /// The queue whose message says whose turn it is to fill a channel.
    pub(crate) fn turn(&self, channel: &str) -> ShortString {
        self.name("asgi:full:", channel)
    }

    /// The exchange for the events of groups, by group.
    pub(crate) fn groups(&self) -> ShortString {
        self.name("asgi:groups", "")
    }

    /// The exchange for events that concern all processes.
    pub(crate) fn news(&self) -> ShortString {
        self.name("asgi:news", "")
    }

    /// The exchange from which the same go to the logs of groups, by the queues of members.
    pub(crate) fn members(&self) -> ShortString {
        self.name("asgi:members", "")
    }

    /// The queue that keeps a group's events.
    pub(crate) fn group_log(&self, group: &GroupName) -> ShortString {
        self.name("asgi:group:", group.as_str())
    }

    /// The group whose events a queue keeps.
    pub(crate) fn group_of<'q>(&self, queue: &'q str) -> Option<&'q str> {
        queue
            .strip_prefix(&self.prefix)?
            .strip_prefix("asgi:group:")
    }

    /// The queue that keeps the names of queues and groups.
    pub(crate) fn names(&self) -> ShortString {
        self.name("asgi:names", "")
    }

    /// The queue that is there as long as a process that reads envelopes.
    pub(crate) fn reader(&self, channel: &str) -> ShortString {
        self.name("asgi:reader:", channel)
    }

    /// The queue of a process whose message is gone if the broker was emptied.
    pub(crate) fn data(&self, process: &str) -> ShortString {
        self.name("asgi:data:", process)
    }

    pub(crate) fn name(&self, kind: &str, of: &str) -> ShortString {
        format!("{}{kind}{of}", self.prefix).into()
    }

    // ---- Messages

    /// The text of a message's `expiration`.
    pub(crate) fn expiration(&self) -> ShortString {
        self.expiry.to_string().into()
    }

    /// The same of an event of a group.
    pub(crate) fn group_expiration(&self) -> ShortString {
        self.group_expiry.to_string().into()
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
        let mut arguments = self.dead_letter_arguments();
        arguments.insert("x-expires".into(), integer(self.lease()));
        arguments
    }

    /// The argument of all queues whose dead messages are of interest.
    pub(crate) fn dead_letter_arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        let dead_letters = self.dead_letters();
        let dead_letters = AMQPValue::LongString(dead_letters.as_str().into());
        arguments.insert("x-dead-letter-exchange".into(), dead_letters);
        arguments
    }

    /// How long memberships last, in milliseconds.
    pub(crate) const fn group_lease(&self) -> i64 {
        self.group_expiry
    }

    /// How long an unused queue of a channel stays, in milliseconds.
    pub(crate) fn lease(&self) -> i64 {
        self.expiry.saturating_mul(2).min(MAX_TIME as i64)
    }

    /// The arguments of a queue that keeps a group's events.
    pub(crate) fn log_arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        let lease = self.group_expiry.saturating_add(LOG_GRACE);
        let lease = lease.min(MAX_TIME as i64);
        arguments.insert("x-expires".into(), integer(lease));
        arguments.insert("x-max-length".into(), integer(MAX_LOG));
        arguments
    }

    /// The arguments of the queue with the names of queues and groups.
    pub(crate) fn names_arguments(&self) -> FieldTable {
        self.log_arguments()
    }

    /// The arguments of the queue of expired messages. If no process has time for them, the
    /// newest are worth most.
    pub(crate) fn dead_letters_arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        let lease = self.lease().max(60_000);
        arguments.insert("x-expires".into(), integer(lease));
        arguments.insert("x-max-length".into(), integer(MAX_DEAD));
        arguments
    }

    /// The arguments of a queue that is a sign, and is gone if it is not declared again for so long.
    pub(crate) fn sign_arguments(life: Duration) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-expires".into(), integer(milliseconds(life)));
        arguments
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

impl Topology {
    /// Declares what every session needs.
    pub(crate) async fn prepare(&self, session: &Arc<Session>) -> crate::error::Result<()> {
        let amqp_channel = session.declare_channel().await?;
        let exchange = |name: ShortString, kind| {
            let options = self.exchange_options();
            amqp_channel.exchange_declare(name, kind, options, FieldTable::default())
        };
        let bind = amqp_channel.exchange_bind(
            self.members(),
            self.news(),
            "".into(),
            ExchangeBindOptions::default(),
            FieldTable::default(),
        );
        let preparing = async {
            let (dead_letters, groups, news, members, bound) = tokio::join!(
                exchange(self.dead_letters(), ExchangeKind::Fanout),
                exchange(self.groups(), ExchangeKind::Direct),
                exchange(self.news(), ExchangeKind::Fanout),
                exchange(self.members(), ExchangeKind::Direct),
                bind
            );
            dead_letters?;
            groups?;
            news?;
            members?;
            bound
        };
        session.bounded(preparing).await
    }

    /// Declares the queue of dead letters that is shared with Python's layer.
    pub(crate) async fn declare_shared_dead_letters(
        &self,
        session: &Arc<Session>,
    ) -> crate::error::Result<()> {
        let queue = self.dead_letters();
        self.declare_bound(session, queue.clone(), FieldTable::default(), queue)
            .await
    }

    /// Declares the queue of expired messages.
    pub(crate) async fn declare_dead_letters(
        &self,
        session: &Arc<Session>,
    ) -> crate::error::Result<()> {
        let queue = self.own_dead_letters();
        let arguments = self.dead_letters_arguments();
        self.declare_bound(session, queue, arguments, "".into())
            .await
    }

    async fn declare_bound(
        &self,
        session: &Arc<Session>,
        queue: ShortString,
        arguments: FieldTable,
        key: ShortString,
    ) -> crate::error::Result<()> {
        let amqp_channel = session.declare_channel().await?;
        let declaring = async {
            let (declared, bound) = tokio::join!(
                amqp_channel.queue_declare(queue.clone(), self.queue_options(), arguments),
                amqp_channel.queue_bind(
                    queue.clone(),
                    self.dead_letters(),
                    key,
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
            );
            declared?;
            bound
        };
        session.bounded(declaring).await
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
