use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use asgiref::{ChannelName, GroupName};
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::time::{Instant, timeout};

use super::event::{Event, now};
use super::log::{append, publish, read_log};
use super::members::Members;
use crate::connection::Session;
use crate::error::{Error, Result};
use crate::receive::Hub;
use crate::site::Site;

/// How many events are on their way before the first of them is acknowledged.
const PREFETCH: u16 = 512;

/// After how many events that is done.
const ACKNOWLEDGE_AFTER: u32 = 64;

/// How many groups a process follows at a time.
const MAX_FOLLOWED: usize = 4096;

/// How many events more than members a log may have, at least, before it is read again, which
/// shortens it.
const SLACK: usize = 1000;

/// How long a mark is on its way at most, in milliseconds.
const MARK_LIFE: &str = "60000";

/// What a process hears of groups.
#[derive(Debug)]
pub(crate) struct Ear {
    site: Arc<Site>,
    /// What forgets messages when all is flushed.
    hub: OnceLock<Weak<Hub>>,
    state: Mutex<State>,
    opening: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The session in which it listens.
    session: Option<Arc<Session>>,
    /// Its queue there.
    queue: ShortString,
    /// The AMQP channel on which the queue is bound and read.
    amqp_channel: Option<Channel>,
    followed: HashMap<GroupName, Followed>,
    marks: HashMap<i64, oneshot::Sender<()>>,
    /// Who waits for a mark that is yet to be sent.
    next_mark: Vec<oneshot::Sender<Result<()>>>,
    marking: bool,
}

/// A group that is followed.
#[derive(Debug)]
struct Followed {
    members: Members,
    /// What came while the log was being read; `None` when that is done.
    early: Option<Vec<Event>>,
    /// Held while the log is read.
    reading: Arc<AsyncMutex<()>>,
    /// How many events came since the log was read.
    events: usize,
    used: Instant,
}

impl Ear {
    pub(crate) fn new(site: Arc<Site>) -> Self {
        Self {
            site,
            hub: OnceLock::new(),
            state: Mutex::default(),
            opening: AsyncMutex::default(),
        }
    }

    /// Whom to tell when all is flushed.
    pub(crate) fn attach(&self, hub: &Arc<Hub>) {
        // Only said once, when the layer is made.
        let _ = self.hub.set(Arc::downgrade(hub));
    }

    /// The members of a group at this moment.
    pub(crate) async fn members(
        self: &Arc<Self>,
        session: &Arc<Session>,
        group: &GroupName,
    ) -> Result<Vec<ChannelName>> {
        self.open(session).await?;
        self.follow(session, group).await?;
        self.catch_up(session).await?;
        let oldest = now() - self.site.config.membership_expiry().as_secs_f64();
        let mut state = self.lock();
        let Some(followed) = state.followed.get_mut(group) else {
            // The connection was lost in between.
            let reason = "a group's list of members was lost with the connection";
            return Err(Error::protocol(session.broker(), reason));
        };
        followed.used = Instant::now();
        let members = followed.members.since(oldest);
        let too_long = followed.events > SLACK + 2 * members.len();
        if too_long {
            followed.events = 0;
        }
        drop(state);
        if too_long {
            self.shorten(session, group);
        }
        Ok(members)
    }

    /// Waits until all that was told before has been heard.
    pub(crate) async fn catch_up(self: &Arc<Self>, session: &Arc<Session>) -> Result<()> {
        self.open(session).await?;
        let (answer, answered) = oneshot::channel();
        let start = {
            let mut state = self.lock();
            state.next_mark.push(answer);
            !std::mem::replace(&mut state.marking, true)
        };
        if start {
            let marker = Marker {
                ear: Arc::clone(self),
                session: Arc::clone(session),
                done: false,
            };
            tokio::spawn(marker.run());
        }
        answered.await.unwrap_or_else(|_| {
            let reason = "the runtime that listened was shut down";
            Err(Error::protocol(session.broker(), reason))
        })
    }

    /// Begins to listen, unless that was done in this session.
    pub(crate) async fn open(self: &Arc<Self>, session: &Arc<Session>) -> Result<()> {
        if self.is_open(session) {
            return Ok(());
        }
        let _opening = self.opening.lock().await;
        if self.is_open(session) {
            return Ok(());
        }
        let topology = &self.site.topology;
        let name = format!("{:016x}", rand::random::<u64>());
        let queue = topology.name("asgi:process:", &name);
        let amqp_channel = session.own_channel(PREFETCH).await?;
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let consumer = session
            .bounded(async {
                amqp_channel
                    .queue_declare(queue.clone(), options, FieldTable::default())
                    .await?;
                amqp_channel
                    .queue_bind(
                        queue.clone(),
                        topology.news(),
                        "".into(),
                        QueueBindOptions::default(),
                        FieldTable::default(),
                    )
                    .await?;
                amqp_channel
                    .basic_consume(
                        queue.clone(),
                        "".into(),
                        BasicConsumeOptions::default(),
                        FieldTable::default(),
                    )
                    .await
            })
            .await?;
        {
            let mut state = self.lock();
            state.session = Some(Arc::clone(session));
            state.queue = queue;
            state.amqp_channel = Some(amqp_channel.clone());
            state.followed.clear();
            state.marks.clear();
        }
        let listener = Listener {
            ear: Arc::clone(self),
            session: Arc::clone(session),
            amqp_channel,
        };
        tokio::spawn(listener.run(consumer));
        Ok(())
    }

    fn is_open(&self, session: &Arc<Session>) -> bool {
        let state = self.lock();
        let open_in = state.session.as_ref();
        open_in.is_some_and(|open_in| Arc::ptr_eq(open_in, session))
    }

    /// Sees to it that a group is followed.
    async fn follow(&self, session: &Arc<Session>, group: &GroupName) -> Result<()> {
        let reading = {
            let mut state = self.lock();
            if let Some(followed) = state.followed.get(group) {
                if followed.early.is_none() {
                    return Ok(());
                }
                Arc::clone(&followed.reading)
            } else {
                let reading = Arc::default();
                let followed = Followed {
                    members: Members::default(),
                    early: Some(Vec::new()),
                    reading: Arc::clone(&reading),
                    events: 0,
                    used: Instant::now(),
                };
                state.followed.insert(group.clone(), followed);
                reading
            }
        };
        let _reading = reading.lock().await;
        {
            let state = self.lock();
            let followed = state.followed.get(group);
            if followed.is_some_and(|followed| followed.early.is_none()) {
                return Ok(());
            }
        }
        let (amqp_channel, queue) = self.own(session)?;
        self.make_room(session).await;
        let topology = &self.site.topology;
        // First it is listened, then read, so that nothing is missed in between.
        let bind = amqp_channel.queue_bind(
            queue,
            topology.groups(),
            group.as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        session.bounded(bind).await?;
        let read = self.read(session, group).await?;
        let mut state = self.lock();
        if let Some(followed) = state.followed.get_mut(group) {
            followed.members = read;
            for event in followed.early.take().unwrap_or_default() {
                followed.members.apply(&event);
            }
        }
        Ok(())
    }

    async fn read(&self, session: &Arc<Session>, group: &GroupName) -> Result<Members> {
        let log = self.site.topology.group_log(group);
        let oldest = now() - self.site.config.membership_expiry().as_secs_f64();
        let keep = |events: &[Event]| Members::keep(events, oldest);
        let mut members = Members::default();
        for event in &read_log(session, &log, keep).await? {
            members.apply(event);
        }
        Ok(members)
    }

    /// Shortens a log, in a task of its own.
    fn shorten(self: &Arc<Self>, session: &Arc<Session>, group: &GroupName) {
        let (ear, session, group) = (Arc::clone(self), Arc::clone(session), group.clone());
        tokio::spawn(async move {
            if let Err(error) = ear.read(&session, &group).await {
                tracing::debug!(%error, %group, "cannot shorten the log of a group");
            }
        });
    }

    /// Follows the group that was used least lately no longer, if there are too many.
    async fn make_room(&self, session: &Arc<Session>) {
        let oldest = {
            let mut state = self.lock();
            if state.followed.len() <= MAX_FOLLOWED {
                return;
            }
            let idle = state
                .followed
                .iter()
                .filter(|(_, followed)| followed.early.is_none());
            let oldest = idle.min_by_key(|(_, followed)| followed.used);
            let oldest = oldest.map(|(group, _)| group.clone());
            let Some(oldest) = oldest else {
                return;
            };
            state.followed.remove(&oldest);
            oldest
        };
        if let Ok((amqp_channel, queue)) = self.own(session) {
            let unbind = amqp_channel.queue_unbind(
                queue,
                self.site.topology.groups(),
                oldest.as_str().into(),
                FieldTable::default(),
            );
            if let Err(error) = session.bounded(unbind).await {
                tracing::debug!(%error, "cannot stop following a group");
            }
        }
    }

    fn own(&self, session: &Arc<Session>) -> Result<(Channel, ShortString)> {
        let state = self.lock();
        match (&state.session, &state.amqp_channel) {
            (Some(open_in), Some(amqp_channel)) if Arc::ptr_eq(open_in, session) => {
                Ok((amqp_channel.clone(), state.queue.clone()))
            }
            _ => {
                let reason = "the connection on which groups are followed was lost";
                Err(Error::protocol(session.broker(), reason))
            }
        }
    }

    fn heard(&self, key: &str, event: Event) {
        if event == Event::Flushed {
            self.site.tally.clear();
            if let Some(hub) = self.hub.get().and_then(Weak::upgrade) {
                hub.forget();
            }
        }
        let mut state = self.lock();
        match event {
            Event::Mark { number } => {
                if let Some(waiting) = state.marks.remove(&number) {
                    let _ = waiting.send(());
                }
            }
            // About a channel, whichever groups it is in, or about all.
            Event::Expired { .. } | Event::Flushed => {
                for followed in state.followed.values_mut() {
                    followed.take(&event);
                }
            }
            event => {
                if let Ok(group) = GroupName::new(key.to_owned())
                    && let Some(followed) = state.followed.get_mut(&group)
                {
                    followed.take(&event);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    fn take(&mut self, event: &Event) {
        self.events += 1;
        match &mut self.early {
            Some(early) => early.push(event.clone()),
            None => self.members.apply(event),
        }
    }
}

/// Reads the queue of this process.
struct Listener {
    ear: Arc<Ear>,
    session: Arc<Session>,
    amqp_channel: Channel,
}

impl Listener {
    async fn run(self, mut consumer: Consumer) {
        let mut unacknowledged = 0;
        while let Some(Ok(delivery)) = consumer.next().await {
            unacknowledged += 1;
            if unacknowledged >= ACKNOWLEDGE_AFTER {
                unacknowledged = 0;
                let options = BasicAckOptions { multiple: true };
                let acknowledge = self.amqp_channel.basic_ack(delivery.delivery_tag, options);
                if self.session.bounded(acknowledge).await.is_err() {
                    return;
                }
            }
            match Event::decode(delivery.data.into()) {
                Ok(event) => self.ear.heard(delivery.routing_key.as_str(), event),
                Err(error) => tracing::debug!(%error, "heard what is no event"),
            }
        }
    }
}

impl Drop for Listener {
    /// Nothing that is known is kept up to date any more.
    fn drop(&mut self) {
        let mut state = self.ear.lock();
        let open_in = state.session.as_ref();
        if open_in.is_some_and(|open_in| Arc::ptr_eq(open_in, &self.session)) {
            state.session = None;
            state.amqp_channel = None;
            state.followed.clear();
            state.marks.clear();
        }
    }
}

/// Sends marks, one for all who wait for one.
struct Marker {
    ear: Arc<Ear>,
    session: Arc<Session>,
    /// Whether it has left those who come to another.
    done: bool,
}

impl Marker {
    async fn run(mut self) {
        while let Some(waiting) = self.next() {
            let outcome = self.mark().await;
            for answer in waiting {
                let _ = answer.send(outcome.clone());
            }
        }
    }

    fn next(&mut self) -> Option<Vec<oneshot::Sender<Result<()>>>> {
        let mut state = self.ear.lock();
        let waiting = std::mem::take(&mut state.next_mark);
        state.marking = !waiting.is_empty();
        self.done = !state.marking;
        state.marking.then_some(waiting)
    }

    async fn mark(&self) -> Result<()> {
        let number = rand::random();
        let (heard, hearing) = oneshot::channel();
        let queue = {
            let mut state = self.ear.lock();
            state.marks.insert(number, heard);
            state.queue.clone()
        };
        let mark = Event::Mark { number };
        let limit = self.session.response_timeout();
        let sent = append(&self.session, &queue, &mark, MARK_LIFE);
        let hearing = timeout(limit, hearing);
        match tokio::join!(sent, hearing) {
            (Ok(()), Ok(Ok(()))) => Ok(()),
            (Err(error), _) => Err(error),
            (Ok(()), Ok(Err(_))) => {
                let reason = "the connection on which groups are followed was lost";
                Err(Error::protocol(self.session.broker(), reason))
            }
            (Ok(()), Err(_)) => Err(self.session.silent()),
        }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        if !self.done {
            let mut state = self.ear.lock();
            state.marking = false;
            state.next_mark.clear();
        }
    }
}

impl Ear {
    /// Tells all who follow a group, and its log, of an event.
    pub(crate) async fn tell_group(
        &self,
        session: &Arc<Session>,
        group: &GroupName,
        event: &Event,
    ) -> Result<()> {
        let topology = &self.site.topology;
        let exchange = topology.groups();
        let life = topology.group_expiration();
        publish(
            session,
            exchange.as_str(),
            group.as_str().into(),
            event,
            life.as_str(),
        )
        .await
    }

    /// Tells all processes of an event, and the logs of groups that have members on this queue.
    pub(crate) async fn tell_all(
        &self,
        session: &Arc<Session>,
        queue: &str,
        event: &Event,
    ) -> Result<()> {
        let topology = &self.site.topology;
        let exchange = topology.news();
        let life = topology.group_expiration();
        publish(
            session,
            exchange.as_str(),
            queue.into(),
            event,
            life.as_str(),
        )
        .await
    }
}
