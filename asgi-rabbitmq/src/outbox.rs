//! Sending: how many messages a channel has room for, and putting them there.
//!
//! AMQP has no step that counts and publishes at once. What is done instead:
//!
//! * All that one process sends to a channel goes through one task, which asks for the queue's
//!   length once for all that waits, so that many concurrent sends share round trips.
//! * While a queue that is used all the time is known to be less than half full, messages are
//!   published together with the question.
//! * In the upper half of its capacity a channel is filled in turns: a queue of one place, which
//!   refuses a second message, says whose turn it is. What processes do at the same time then
//!   neither exceeds the capacity nor leaves room.
//!
//! Python's layer takes no turns. Beside it, and when many processes at once fill an empty
//! channel within milliseconds, the capacity can be exceeded by what is on its way.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use asgiref::{Backoff, ChannelName};
use bytes::Bytes;
use futures_util::future::join_all;
use lapin::options::{QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::connection::{Session, Side};
use crate::error::{Error, Result};
use crate::queues::declare;
use crate::site::Site;
use crate::topology::{CHANNEL_HEADER, ENVELOPE, Topology};

/// How many messages are published to a channel before the next question.
const MAX_BATCH: usize = 256;

/// How long a length that was heard counts for a queue that is used all the time.
const FRESH: Duration = Duration::from_millis(20);

/// How long a turn lasts at most.
const TURN: Duration = Duration::from_secs(2);

/// How long a turn is waited for, which is longer than that of a process lasts that died. After
/// that the channel is filled without one: a limit that is exceeded a little is better than a site
/// that stands still.
const TURN_PATIENCE: Duration = Duration::from_secs(5);

/// The pauses between two questions whose turn it is.
const TURN_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// How many channels' lengths are remembered.
const MAX_REMEMBERED: usize = 4096;

/// The tasks that send.
#[derive(Debug)]
pub(crate) struct Outbox {
    site: Arc<Site>,
    lines: Mutex<HashMap<Box<str>, Line>>,
}

/// What waits to be sent to one channel.
#[derive(Debug, Default)]
struct Line {
    jobs: VecDeque<Job>,
    running: bool,
    /// How long the queue was, and when.
    length: Option<(usize, Instant)>,
}

#[derive(Debug)]
struct Job {
    parcels: Vec<Parcel>,
    answer: oneshot::Sender<Result<usize>>,
}

/// A message for a queue.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) body: Bytes,
    /// The local part of the channel's name, if it is process-specific.
    pub(crate) local: Option<String>,
    /// For how many members it is, if it is an envelope.
    pub(crate) members: Option<usize>,
}

impl Parcel {
    /// For how many channels it is.
    pub(crate) fn members(&self) -> usize {
        self.members.unwrap_or(1)
    }
}

impl Outbox {
    pub(crate) fn new(site: Arc<Site>) -> Self {
        Self {
            site,
            lines: Mutex::default(),
        }
    }

    /// Puts messages on the queue of `channel`, as many as there is room for, in this order;
    /// returns how many.
    pub(crate) async fn send(
        self: &Arc<Self>,
        channel: &ChannelName,
        parcels: Vec<Parcel>,
    ) -> Result<usize> {
        let (answer, answered) = oneshot::channel();
        {
            let mut lines = self.lock();
            if lines.len() >= MAX_REMEMBERED && !lines.contains_key(channel.non_local()) {
                lines.retain(|_, line| line.running);
            }
            let line = lines.entry(channel.non_local().into()).or_default();
            line.jobs.push_back(Job { parcels, answer });
            if !line.running {
                line.running = true;
                let runner = Runner {
                    outbox: Arc::clone(self),
                    queue: channel.to_non_local(),
                    done: false,
                };
                tokio::spawn(runner.run());
            }
        }
        match answered.await {
            Ok(answer) => answer,
            // The task went with its runtime.
            Err(_) => {
                let name = self.site.broker.names().into();
                Err(Error::protocol(
                    &name,
                    "the runtime that sent was shut down",
                ))
            }
        }
    }

    /// Puts a message on a queue again that was taken off it, whether there is room or not.
    pub(crate) async fn put_back(
        self: &Arc<Self>,
        queue: &ChannelName,
        parcel: Parcel,
    ) -> Result<()> {
        let session = self.site.broker.session().await?;
        let topology = &self.site.topology;
        self.site
            .queues
            .ensure(&session, Side::Talk, topology, queue.as_str())
            .await?;
        let amqp_channel = session.publish_channel().await?;
        publish(topology, &session, &amqp_channel, queue, &[&parcel]).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what is to be sent to one channel, until nothing is left.
struct Runner {
    outbox: Arc<Outbox>,
    queue: ChannelName,
    /// Whether it has left the line to others.
    done: bool,
}

impl Runner {
    async fn run(mut self) {
        while let Some(jobs) = self.next() {
            let parcels: Vec<&Parcel> = jobs.iter().flat_map(|job| &job.parcels).collect();
            let outcome = self.deliver(&parcels).await;
            let mut room = match &outcome {
                Ok(sent) => *sent,
                Err(_) => 0,
            };
            for Job { parcels, answer } in jobs {
                let sent = parcels.len().min(room);
                room -= sent;
                if outcome.is_ok() {
                    let members = |parcels: &[Parcel]| parcels.iter().map(Parcel::members).sum();
                    let (accepted, refused) = parcels.split_at(sent);
                    let tally = &self.outbox.site.tally;
                    tally.count(self.queue.as_str(), members(accepted), members(refused));
                }
                // A caller that went away does not want to know.
                let _ = answer.send(match &outcome {
                    Ok(_) => Ok(sent),
                    Err(error) => Err(error.clone()),
                });
            }
        }
    }

    fn next(&mut self) -> Option<Vec<Job>> {
        let mut lines = self.outbox.lock();
        let line = lines.get_mut(self.queue.as_str())?;
        let mut jobs = Vec::new();
        let mut parcels = 0;
        while let Some(job) = line.jobs.pop_front() {
            // Whoever waits no longer has nothing sent.
            if job.answer.is_closed() {
                continue;
            }
            parcels += job.parcels.len();
            jobs.push(job);
            if parcels >= MAX_BATCH {
                break;
            }
        }
        line.running = !jobs.is_empty();
        // From here on the line may have another runner.
        self.done = !line.running;
        line.running.then_some(jobs)
    }

    /// Sends as many as there is room for; returns how many.
    async fn deliver(&self, parcels: &[&Parcel]) -> Result<usize> {
        let site = &self.outbox.site;
        let session = site.broker.session().await?;
        if let Some(reason) = session.blocked() {
            return Err(Error::Blocked {
                broker: Arc::clone(session.broker()),
                reason,
            });
        }
        let topology = &site.topology;
        let capacity = site.capacity_of(&self.queue);
        let half = capacity / 2;
        let known = site.queues.is_known(&session, self.queue.as_str());
        if known
            && let Some((length, heard)) = self.length()
            && heard.elapsed() < FRESH
            && length + parcels.len() <= half
        {
            let amqp_channel = session.publish_channel().await?;
            let (length, published) = tokio::join!(
                session.bounded(declare(&amqp_channel, &site.topology, self.queue.as_str())),
                publish(topology, &session, &amqp_channel, &self.queue, parcels)
            );
            published?;
            self.heard(length? + parcels.len());
            return Ok(parcels.len());
        }
        let length = self.ask(&session).await?;
        if length >= capacity {
            return Ok(0);
        }
        let name = topology.queue(self.queue.as_str());
        let amqp_channel = session.publish_channel().await?;
        let recording = site.queues.record(&session, topology, &name);
        if length + parcels.len() <= half {
            let (published, recorded) = tokio::join!(
                publish(topology, &session, &amqp_channel, &self.queue, parcels),
                recording
            );
            published?;
            recorded?;
            self.heard(length + parcels.len());
            return Ok(parcels.len());
        }
        let filling = self.fill(&session, &amqp_channel, capacity, parcels);
        let (sent, recorded) = tokio::join!(filling, recording);
        recorded?;
        sent
    }

    /// Fills the channel up when it is this process's turn; returns how many were sent.
    async fn fill(
        &self,
        session: &Arc<Session>,
        amqp_channel: &Channel,
        capacity: usize,
        parcels: &[&Parcel],
    ) -> Result<usize> {
        let site = &self.outbox.site;
        let give_up = Instant::now() + TURN_PATIENCE;
        loop {
            let queue = self.queue.as_str();
            let turn = Turn::take(site, session, amqp_channel, queue, give_up).await?;
            let sent = async {
                let length = self.ask(session).await?;
                // If the answer took so long that it may be another's turn by now, what it says
                // does not hold.
                if turn.may_be_over() {
                    return Ok(None);
                }
                let sent = parcels.len().min(capacity.saturating_sub(length));
                let topology = &site.topology;
                let parcels = &parcels[..sent];
                publish(topology, session, amqp_channel, &self.queue, parcels).await?;
                self.heard(length + sent);
                Ok(Some(sent))
            }
            .await;
            turn.end(session, amqp_channel).await;
            if let Some(sent) = sent? {
                return Ok(sent);
            }
        }
    }

    /// How many messages wait on the queue.
    async fn ask(&self, session: &Arc<Session>) -> Result<usize> {
        let site = &self.outbox.site;
        let length = site
            .queues
            .declare(session, Side::Talk, &site.topology, self.queue.as_str())
            .await?;
        self.heard(length);
        Ok(length)
    }

    fn length(&self) -> Option<(usize, Instant)> {
        self.outbox.lock().get(self.queue.as_str())?.length
    }

    fn heard(&self, length: usize) {
        if let Some(line) = self.outbox.lock().get_mut(self.queue.as_str()) {
            line.length = Some((length, Instant::now()));
        }
    }
}

/// Publishes to the queue of a channel, and waits until the broker has it all.
async fn publish(
    topology: &Topology,
    session: &Arc<Session>,
    amqp_channel: &Channel,
    channel: &ChannelName,
    parcels: &[&Parcel],
) -> Result<()> {
    let queue = topology.queue(channel.as_str());
    let publishing = parcels.iter().map(async |parcel| {
        let mut properties = BasicProperties::default().with_expiration(topology.expiration());
        if let Some(local) = &parcel.local {
            let mut headers = FieldTable::default();
            let local = AMQPValue::LongString(local.as_str().into());
            headers.insert(CHANNEL_HEADER.into(), local);
            properties = properties.with_headers(headers);
        }
        if parcel.members.is_some() {
            properties = properties.with_type(ENVELOPE.into());
        }
        session
            .publish(
                amqp_channel,
                "",
                queue.as_str().into(),
                &parcel.body,
                properties,
            )
            .await
    });
    for confirmed in session.bounded(try_all(publishing)).await? {
        if confirmed.is_nack() {
            let reason = "it did not take a message, and does not say why";
            return Err(Error::protocol(session.broker(), reason));
        }
    }
    Ok(())
}

impl Drop for Runner {
    /// Whoever still waits here is told, by dropping what they wait for.
    fn drop(&mut self) {
        if !self.done
            && let Some(line) = self.outbox.lock().get_mut(self.queue.as_str())
        {
            line.running = false;
            line.jobs.clear();
        }
    }
}

/// All futures at once; the first error, if any.
pub(crate) async fn try_all<T, F: Future<Output = Result<T, lapin::Error>>>(
    futures: impl Iterator<Item = F>,
) -> Result<Vec<T>, lapin::Error> {
    join_all(futures).await.into_iter().collect()
}

/// The turn to fill a channel up, which nobody else has at the same time.
struct Turn {
    queue: lapin::types::ShortString,
    /// Since when, unless there is none because the patience was over.
    since: Option<Instant>,
}

impl Turn {
    async fn take(
        site: &Site,
        session: &Arc<Session>,
        amqp_channel: &Channel,
        channel: &str,
        give_up: Instant,
    ) -> Result<Self> {
        let queue = site.topology.turn(channel);
        let mut pauses = Backoff::new(TURN_PAUSES.0, TURN_PAUSES.1);
        loop {
            let asked = Instant::now();
            let (declared, confirmed) = tokio::join!(
                session.bounded(amqp_channel.queue_declare(
                    queue.clone(),
                    QueueDeclareOptions {
                        durable: site.topology.queue_options().durable,
                        ..QueueDeclareOptions::default()
                    },
                    Topology::turn_arguments(TURN),
                )),
                session.bounded(session.publish(
                    amqp_channel,
                    "",
                    queue.clone(),
                    b"",
                    BasicProperties::default(),
                ))
            );
            declared?;
            if let Confirmation::Ack(_) = confirmed? {
                return Ok(Self {
                    queue,
                    since: Some(asked),
                });
            }
            if Instant::now() >= give_up {
                tracing::debug!(channel, "gave up waiting for the turn to fill a channel");
                return Ok(Self { queue, since: None });
            }
            sleep(pauses.next_pause()).await;
        }
    }

    /// Whether it took so long that the next one may have begun.
    fn may_be_over(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > TURN / 2)
    }

    async fn end(self, session: &Arc<Session>, amqp_channel: &Channel) {
        // One that was not had, or that may be another's already, ends by itself.
        if self.since.is_none() || self.may_be_over() {
            return;
        }
        let purge = amqp_channel.queue_purge(self.queue, QueuePurgeOptions::default());
        if let Err(error) = session.bounded(purge).await {
            tracing::debug!(%error, "a turn to fill a channel ends by itself");
        }
    }
}
