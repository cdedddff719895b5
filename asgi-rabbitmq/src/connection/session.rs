use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::lane::{self, Lane, Purpose};
use crate::error::{Error, Result};

/// How many times longer than usual an answer may take while others come.
const MOST_WAITS: u32 = 5;

/// A pair of connections to a broker, as long as both are alive.
///
/// One talks, the other listens: a broker that is short of memory stops reading from connections
/// that publish, and what is received must go on.
pub(crate) struct Session {
    pub(super) broker: Arc<str>,
    talk: Arc<Connection>,
    listen: Arc<Connection>,
    response_timeout: Duration,
    publish: Lane,
    declare: Lane,
    look: Lane,
    get: Lane,
    /// What the broker said when it stopped reading.
    blocked: Mutex<Option<Arc<str>>>,
    given_up: AtomicBool,
    /// When the broker answered last.
    answered: Mutex<Instant>,
    /// Held while a message is numbered and queued for writing.
    publishing: Mutex<()>,
    ended: Notify,
}

/// Which of the two connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Talk,
    Listen,
}

impl Session {
    pub(super) fn new(
        broker: Arc<str>,
        talk: Connection,
        listen: Connection,
        response_timeout: Duration,
    ) -> Self {
        Self {
            broker,
            talk: Arc::new(talk),
            listen: Arc::new(listen),
            response_timeout,
            publish: Lane::new(Purpose::Publish),
            declare: Lane::new(Purpose::Plain),
            look: Lane::new(Purpose::Plain),
            get: Lane::new(Purpose::Plain),
            blocked: Mutex::default(),
            given_up: AtomicBool::new(false),
            answered: Mutex::new(Instant::now()),
            publishing: Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// Which broker, for texts.
    pub(crate) fn broker(&self) -> &Arc<str> {
        &self.broker
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.given_up.load(Ordering::Acquire)
            && self.talk.status().connected()
            && self.listen.status().connected()
    }

    /// The AMQP channel for publishing, with confirms, and for what must come right before it.
    pub(crate) async fn publish_channel(&self) -> Result<Channel> {
        self.bounded(self.publish.channel(&self.talk)).await
    }

    /// The AMQP channel for declaring what may be refused.
    pub(crate) async fn declare_channel(&self) -> Result<Channel> {
        self.bounded(self.declare.channel(&self.talk)).await
    }

    /// The same on the connection that listens, which goes on while the broker takes no messages.
    pub(crate) async fn look_channel(&self) -> Result<Channel> {
        self.bounded(self.look.channel(&self.listen)).await
    }

    /// An AMQP channel of one's own for one of these.
    pub(crate) async fn own_channel_at(&self, side: Side) -> Result<Channel> {
        let connection = match side {
            Side::Talk => &self.talk,
            Side::Listen => &self.listen,
        };
        self.bounded(lane::open(connection, Purpose::Plain)).await
    }

    /// The AMQP channel for fetching messages.
    pub(crate) async fn get_channel(&self) -> Result<Channel> {
        self.bounded(self.get.channel(&self.listen)).await
    }

    /// An AMQP channel of one's own, on the connection that listens.
    pub(crate) async fn own_channel(&self, prefetch: u16) -> Result<Channel> {
        self.bounded(lane::open(&self.listen, Purpose::Prefetch(prefetch)))
            .await
    }

    /// An AMQP channel of one's own for what may be refused.
    pub(crate) async fn own_declare_channel(&self) -> Result<Channel> {
        self.own_channel_at(Side::Talk).await
    }

    /// Publishes on an AMQP channel with confirms, and waits until the broker has the message.
    pub(crate) async fn publish(
        &self,
        amqp_channel: &Channel,
        exchange: &str,
        key: ShortString,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Confirmation, lapin::Error> {
        let publish = amqp_channel.basic_publish(
            exchange.into(),
            key,
            BasicPublishOptions::default(),
            body,
            properties,
        );
        let confirmed = in_order(&self.publishing, publish).await?.await;
        if confirmed.is_ok() {
            self.has_answered();
        }
        confirmed
    }

    /// Waits for an answer of the broker. If none comes in time, neither this one nor any other, the
    /// connections are given up: whatever comes later on them belongs to something nobody waits for
    /// any more. A broker that is slow, but answers others, is given [`MOST_WAITS`] times as long.
    pub(crate) async fn bounded<T>(
        &self,
        operation: impl Future<Output = Result<T, lapin::Error>>,
    ) -> Result<T> {
        let mut operation = std::pin::pin!(operation);
        let begin = Instant::now();
        let last = begin + self.response_timeout * MOST_WAITS;
        let mut until = begin + self.response_timeout;
        loop {
            match timeout_at(until, &mut operation).await {
                Ok(Ok(answer)) => {
                    self.has_answered();
                    return Ok(answer);
                }
                Ok(Err(error)) => return Err(self.failed(error)),
                Err(_) => {
                    let again = (self.last_answer() + self.response_timeout).min(last);
                    if again <= until {
                        return Err(self.silent());
                    }
                    until = again;
                }
            }
        }
    }

    fn has_answered(&self) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        *answered = Instant::now();
    }

    fn last_answer(&self) -> Instant {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an error means that came while the operation went on.
    pub(crate) fn failed(&self, error: lapin::Error) -> Error {
        if !self.talk.status().connected() || !self.listen.status().connected() {
            self.ended.notify_one();
        }
        Error::of_operation(&self.broker, error)
    }

    /// Gives the connections up, because they are silent, or says that the broker is blocked: then
    /// they are not dead.
    pub(crate) fn silent(&self) -> Error {
        if let Some(reason) = self.blocked() {
            return Error::Blocked {
                broker: Arc::clone(&self.broker),
                reason,
            };
        }
        self.give_up();
        Error::timeout(&self.broker, self.response_timeout)
    }

    pub(crate) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Why the broker takes no messages, if it does not.
    pub(crate) fn blocked(&self) -> Option<Arc<str>> {
        self.blocked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
        self.ended.notify_one();
    }

    /// Watches the connections until one of them is lost or given up.
    pub(super) async fn watch(&self) {
        let mut talk = std::pin::pin!(self.talk.events_listener());
        let mut listen = std::pin::pin!(self.listen.events_listener());
        while self.is_alive() {
            let event = tokio::select! {
                event = talk.next() => event,
                event = listen.next() => event,
                () = self.ended.notified() => continue,
            };
            let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(broker = %self.broker, reason, "the broker takes no messages");
                    *blocked = Some(reason.into());
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!(broker = %self.broker, "the broker takes messages again");
                    *blocked = None;
                }
                Some(Event::Error(error)) => {
                    drop(blocked);
                    if !error.is_amqp_soft_error() {
                        self.give_up();
                        return;
                    }
                }
                Some(_) => {}
                None => {
                    drop(blocked);
                    self.give_up();
                    return;
                }
            }
        }
    }

    /// Says goodbye, for a moment at most.
    pub(super) async fn close(&self) {
        let moment = Duration::from_millis(500);
        let goodbye = async {
            let _ = tokio::join!(
                self.listen.close(200, "goodbye".into()),
                self.talk.close(200, "goodbye".into()),
            );
        };
        let _ = timeout(moment, goodbye).await;
    }
}

/// Polls a future for the first time under a lock.
///
/// The client library numbers a message and queues it for writing in the first poll, but not as
/// one step: two tasks that publish at the same time might get each other's confirm.
async fn in_order<F: Future>(lock: &Mutex<()>, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut first = true;
    poll_fn(|context| {
        let _held =
            std::mem::take(&mut first).then(|| lock.lock().unwrap_or_else(PoisonError::into_inner));
        future.as_mut().poll(context)
    })
    .await
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("broker", &self.broker)
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}
