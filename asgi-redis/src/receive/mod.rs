//! Receiving: one long-lived task for each server takes messages off it and hands them to the
//! callers that wait in this process.
//!
//! * A blocking read is never cancelled: it would take a message with it. It is ended by an element
//!   in a list of its own.
//! * A blocking read takes a reference, not the message. What nobody wants any more goes back to
//!   the head of its channel.
//! * A caller that goes away with a message in its hands gives it back.
//! * While a process waits, messages are given to it without being stored first.

mod bid;
mod desk;
mod parcel;
mod settle;
mod state;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant as Clock;

use asgiref::codec::{Codec, envelope};
use asgiref::{ChannelKind, ChannelName, Message};
use tokio::sync::{Notify, oneshot};
use tokio::task::coop::consume_budget;

use crate::error::Result;
use crate::keys::Keys;
use crate::shard::Shards;

use parcel::{Parcel, Ready};
use state::{Look, State};

/// Where callers and the tasks at the servers meet.
#[derive(Debug)]
pub(crate) struct Hub {
    shards: Arc<Shards>,
    /// For what is in envelopes, which is not encrypted a second time.
    plain: Codec,
    state: Mutex<State>,
    /// Told when there is something to do at a server.
    changed: Vec<Notify>,
    /// How many messages were taken off servers so far.
    taken: AtomicU64,
    /// Whether a poisoned message was logged lately.
    last_warning: Mutex<Option<Clock>>,
}

impl Hub {
    pub(crate) fn new(shards: Arc<Shards>) -> Self {
        let count = shards.all.len();
        Self {
            shards,
            plain: Codec::new(),
            state: Mutex::new(State::new(count)),
            changed: std::iter::repeat_with(Notify::new).take(count).collect(),
            taken: AtomicU64::new(0),
            last_warning: Mutex::default(),
        }
    }

    /// Waits for a message on any of `channels`.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        channels: &[ChannelName],
    ) -> Result<(ChannelName, Message)> {
        loop {
            // A reader of a channel that is never empty lets other tasks of its thread run.
            consume_budget().await;
            let ready = match self.ready_or_wait(channels) {
                Ok(ready) => ready,
                Err(waiting) => waiting.ready().await?,
            };
            if let Some(received) = self.open(ready) {
                return Ok(received);
            }
        }
    }

    /// A message on any of `channels` if there is one.
    pub(crate) async fn try_receive(
        self: &Arc<Self>,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        while let Some(ready) = self.look(channels).await? {
            if let Some(received) = self.open(ready) {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    /// Forgets what was taken off the servers already.
    pub(crate) fn forget(&self) {
        self.lock().forget();
    }

    /// Ends the tasks, which put back what they hold.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.return_held();
        drop(state);
        self.tell_all();
    }

    fn ready_or_wait(self: &Arc<Self>, channels: &[ChannelName]) -> Result<Ready, Waiting> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        if let Some(ready) = state.take_here(channels) {
            return Ok(ready);
        }
        let shards = state.join(channels, &self.shards.ring, answer);
        self.start(&mut state, &shards);
        drop(state);
        self.tell(&shards);
        Err(Waiting {
            hub: Arc::clone(self),
            channels: channels.into(),
            answered,
            done: false,
        })
    }

    /// Asks the servers that hold any of `channels`, one after another.
    async fn look(self: &Arc<Self>, channels: &[ChannelName]) -> Result<Option<Ready>> {
        let ring = &self.shards.ring;
        let first = ring.next();
        for offset in 0..ring.len() {
            let shard = (first + offset) % ring.len();
            let mut queues: Vec<ChannelName> = channels
                .iter()
                .filter(|channel| ring.home(channel).is_none_or(|home| home == shard))
                .cloned()
                .collect();
            if queues.is_empty() {
                continue;
            }
            // A random start, so that a busy channel does not starve those after it.
            let turn = rand::random_range(0..queues.len());
            queues.rotate_left(turn);
            let (answer, answered) = oneshot::channel();
            {
                let mut state = self.lock();
                if let Some(ready) = state.take_here(channels) {
                    return Ok(Some(ready));
                }
                let look = Look { queues, answer };
                state.desks[shard].looks.push_back(look);
                self.start(&mut state, &[shard]);
            }
            self.tell(&[shard]);
            let looking = Looking {
                hub: Arc::clone(self),
                answered,
            };
            if let Some(ready) = looking.ready().await? {
                return Ok(Some(ready));
            }
        }
        Ok(None)
    }

    /// What is in a message that was taken off a server; `None` if it cannot be read.
    fn open(&self, ready: Ready) -> Option<(ChannelName, Message)> {
        let parcel = match ready {
            Ready::Opened {
                channel, message, ..
            } => return Some((channel, message)),
            Ready::Parcel(parcel) => parcel,
        };
        let codec = &self.shards.codec;
        let opened = if Keys::is_envelope(&parcel.key)
            && parcel.queue.kind() == ChannelKind::ProcessSpecific
        {
            self.open_envelope(&parcel)
        } else {
            codec
                .decode_with_channel(&parcel.queue, parcel.body.clone())
                .map(Some)
        };
        opened.unwrap_or_else(|error| {
            self.poisoned(&parcel, &error);
            None
        })
    }

    fn open_envelope(&self, parcel: &Parcel) -> asgiref::Result<Option<(ChannelName, Message)>> {
        let codec = &self.shards.codec;
        let body = parcel.body.clone();
        let (message, channels) = envelope::open(codec, &self.plain, &parcel.queue, body)?;
        let mut channels = channels.into_iter();
        let Some(first) = channels.next() else {
            return Ok(None);
        };
        let rest = channels
            .map(|channel| Ready::Opened {
                channel,
                message: message.clone(),
                expires: parcel.expires,
            })
            .collect();
        self.lock().keep_first(&parcel.queue, rest);
        Ok(Some((first, message)))
    }

    /// A message that cannot be read is skipped: whoever receives can do nothing about it.
    fn poisoned(&self, parcel: &Parcel, error: &asgiref::Error) {
        self.shards.counters.poisoned();
        let mut last = self
            .last_warning
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed().as_secs() < 10) {
            return;
        }
        *last = Some(Clock::now());
        tracing::warn!(
            channel = %parcel.queue,
            bytes = parcel.body.len(),
            error = error as &dyn std::error::Error,
            "skipped a message that cannot be read; further ones are counted for 10 seconds",
        );
    }

    /// Has a message put back, or given to another caller.
    fn give_back(&self, ready: Ready) {
        let mut state = self.lock();
        match ready {
            ready @ Ready::Opened { .. } => state.keep(ready, true),
            Ready::Parcel(parcel) => {
                let shard = parcel.shard;
                state.keep(Ready::Parcel(parcel), true);
                drop(state);
                self.tell(&[shard]);
            }
        }
    }

    /// Starts the tasks at these servers, on the current runtime.
    fn start(self: &Arc<Self>, state: &mut State, shards: &[usize]) {
        for shard in shards {
            let desk = &mut state.desks[*shard];
            if !desk.running && !state.closed {
                desk.running = true;
                tokio::spawn(desk::work(Arc::clone(self), *shard));
            }
        }
    }

    /// Rises with every message taken off a server.
    fn next_number(&self) -> u64 {
        self.taken.fetch_add(1, Ordering::Relaxed)
    }

    fn tell(&self, shards: &[usize]) {
        for shard in shards {
            self.changed[*shard].notify_one();
        }
    }

    fn tell_all(&self) {
        self.changed.iter().for_each(Notify::notify_one);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that waits. What it is given and does not take goes back.
struct Waiting {
    hub: Arc<Hub>,
    channels: Box<[ChannelName]>,
    answered: oneshot::Receiver<Result<Ready>>,
    done: bool,
}

impl Waiting {
    async fn ready(mut self) -> Result<Ready> {
        loop {
            match (&mut self.answered).await {
                Ok(answer) => {
                    self.done = true;
                    return answer;
                }
                // The task at the server went with the runtime it was on. Another one is started.
                Err(_) => match self.hub.ready_or_wait(&self.channels) {
                    Ok(ready) => {
                        self.done = true;
                        return Ok(ready);
                    }
                    Err(mut again) => std::mem::swap(&mut self.answered, &mut again.answered),
                },
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.answered.close();
        match self.answered.try_recv() {
            Ok(Ok(ready)) => self.hub.give_back(ready),
            Ok(Err(_)) => {}
            Err(_) => {
                let shards = self.hub.lock().leave(&self.channels);
                self.hub.tell(&shards);
            }
        }
    }
}

/// The same for a caller that does not wait longer than it takes to look.
struct Looking {
    hub: Arc<Hub>,
    answered: oneshot::Receiver<Result<Option<Ready>>>,
}

impl Looking {
    async fn ready(mut self) -> Result<Option<Ready>> {
        (&mut self.answered).await.unwrap_or(Ok(None))
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.answered.close();
        if let Ok(Ok(Some(ready))) = self.answered.try_recv() {
            self.hub.give_back(ready);
        }
    }
}
