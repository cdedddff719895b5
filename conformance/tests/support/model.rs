//! The model layer's sends and receives.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use asgiref::{
    ChannelKind, ChannelLayer, ChannelName, ChannelPattern, Error, Flush, Groups, Message, Result,
    Statistics,
};
use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::distort::distort;
use super::fault::Fault;
use super::state::{Slot, State, Waiting};

pub(crate) const EXPIRY: Duration = Duration::from_secs(60);
pub(crate) const GROUP_EXPIRY: Duration = Duration::from_secs(600);
pub(crate) const CAPACITY: usize = 10;

/// One client of the model layer.
pub(crate) struct Model {
    pub(super) shared: Arc<Shared>,
    pub(super) client: usize,
    /// How many names this client made.
    made: AtomicUsize,
    /// How often this client looked at the same channels without waiting.
    looks: Mutex<HashMap<Vec<ChannelName>, usize>>,
}

pub(crate) struct Shared {
    pub(super) fault: Fault,
    state: Mutex<State>,
    pub(super) changed: Notify,
    /// How often the layer was flushed.
    pub(super) flushes: AtomicUsize,
    /// How often anybody looked for messages.
    turns: AtomicUsize,
}

impl Model {
    /// `count` clients of one new layer.
    pub(crate) fn clients(fault: Fault, count: usize) -> Vec<Self> {
        let shared = Arc::new(Shared {
            fault,
            state: Mutex::new(State::new(fault)),
            changed: Notify::new(),
            flushes: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
        });
        (0..count)
            .map(|client| Self {
                shared: Arc::clone(&shared),
                client,
                made: AtomicUsize::new(0),
                looks: Mutex::default(),
            })
            .collect()
    }

    /// Whether this client looks at these channels for the third time, the sixth and so on.
    fn is_third_look(&self, channels: &[ChannelName]) -> bool {
        let mut all = self.looks.lock().unwrap();
        let looks = all.entry(channels.to_vec()).or_default();
        *looks += 1;
        looks.is_multiple_of(3)
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.shared.fault == fault
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    fn keys(&self, channels: &[ChannelName]) -> Result<Vec<String>> {
        if !self.has(Fault::TakesLocalPart) {
            channels
                .iter()
                .try_for_each(ChannelName::check_receivable)?;
        }
        let state = self.state();
        if self.has(Fault::EmptyListTakesAll) && channels.is_empty() {
            return Ok(state.queues.keys().cloned().collect());
        }
        Ok(channels
            .iter()
            .map(|channel| state.key(self.client, channel))
            .collect())
    }

    /// The first message on any of the channels, from another one on each time.
    async fn take(&self, keys: &[String]) -> Option<(ChannelName, Message)> {
        let start = match keys.len() {
            0 => return None,
            _ if self.has(Fault::ServesInOrder) => 0,
            count => self.shared.turns.fetch_add(1, Ordering::Relaxed) % count,
        };
        let keys = keys[start..].iter().chain(&keys[..start]);
        for key in keys {
            if self.has(Fault::ReadersRace) {
                let seen = self.state().peek(key);
                if seen.is_some() {
                    yield_now().await;
                    self.state().pop(key);
                    return seen;
                }
            } else if let Some(received) = self.state().pop(key) {
                return Some(received);
            }
        }
        None
    }

    /// Tells senders that wait for room, under the fault that lets them.
    fn made_room(&self) {
        if self.has(Fault::SendWaitsForRoom) {
            self.shared.changed.notify_waiters();
        }
    }

    /// Puts a blocking receive in line, to be handed a message, under the faults that do so.
    fn line_up(&self, keys: &[String]) -> Option<Place<'_>> {
        let stays = self.has(Fault::DroppedReceiveStays);
        if !stays && !self.has(Fault::LosesHandedMessage) {
            return None;
        }
        let slot = Slot::default();
        self.state().waiting.push(Waiting {
            keys: keys.to_vec(),
            slot: Arc::clone(&slot),
        });
        Some(Place {
            model: self,
            slot,
            stays,
        })
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[async_trait]
impl ChannelLayer for Model {
    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        if self.has(Fault::BlocksThread) {
            #[expect(
                clippy::disallowed_methods,
                reason = "the fault is to block the thread"
            )]
            std::thread::sleep(Duration::from_secs(3));
        }
        let message = distort(self.shared.fault, message)?;
        if self.has(Fault::SendWaitsForRoom) {
            loop {
                let changed = self.shared.changed.notified();
                if self.state().room(self.client, channel) > 0 {
                    break;
                }
                changed.await;
            }
        }
        let room = self.state().room(self.client, channel);
        if self.has(Fault::SendersRace) {
            yield_now().await;
        }
        let first = room == CAPACITY;
        self.state()
            .push(self.client, channel.clone(), message, room > 0)?;
        if !self.has(Fault::WakesForFirstMessage) {
            self.shared.changed.notify_waiters();
        } else if first {
            self.shared.changed.notify_one();
        }
        Ok(())
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        let mut keys = self.keys(channels)?;
        if keys.is_empty() && self.has(Fault::EmptyListFails) {
            return Err(Error::backend("model", "no channels"));
        }
        let started = Instant::now();
        let flushes = self.shared.flushes.load(Ordering::Relaxed);
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if let Some(received) = self.take(&keys).await {
                self.made_room();
                if self.has(Fault::LosesTakenMessage) {
                    yield_now().await;
                }
                return Ok(received);
            }
            let place = self.line_up(&keys);
            if self.has(Fault::ReceiveSleepsOn) {
                sleep(Duration::from_secs(3_600)).await;
            } else if self.has(Fault::ReceiveGivesUp) {
                let patience = Duration::from_secs(1).saturating_sub(started.elapsed());
                if tokio::time::timeout(patience, changed).await.is_err() {
                    return Err(Error::backend("model", "nothing came"));
                }
            } else {
                changed.await;
            }
            if let Some(received) = place.and_then(Place::take) {
                return Ok(received);
            }
            if self.has(Fault::FlushEndsReceives)
                && self.shared.flushes.load(Ordering::Relaxed) != flushes
            {
                return Err(Error::backend("model", "flushed"));
            }
            if self.has(Fault::WaitsOnFirstChannel) {
                keys.truncate(1);
            }
        }
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        let mut keys = self.keys(channels)?;
        if self.has(Fault::LooksAtOneServer) && !self.is_third_look(channels) {
            let reliable = channels
                .iter()
                .filter(|it| it.kind() != ChannelKind::Normal);
            keys = self.keys(&reliable.cloned().collect::<Vec<_>>())?;
        }
        let received = self.take(&keys).await;
        if received.is_some() {
            self.made_room();
        } else if self.has(Fault::TryReceiveWaits) {
            sleep(Duration::from_secs(1)).await;
        } else if self.has(Fault::TryReceiveBlocks) {
            return self.receive(channels).await.map(Some);
        }
        Ok(received)
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        match self.shared.fault {
            Fault::RepeatsNewChannel => ChannelName::new(format!("{}x", pattern.as_str())),
            Fault::CountsNewChannels => ChannelName::new(format!("{}{made}", pattern.as_str())),
            Fault::NoProcessPatterns if pattern.as_str().ends_with('!') => {
                Err(Error::backend("model", "patterns end in `?`"))
            }
            _ => Ok(pattern.generate()),
        }
    }

    fn as_groups(&self) -> Option<&dyn Groups> {
        (!self.has(Fault::BareBones)).then_some(self)
    }

    fn as_flush(&self) -> Option<&dyn Flush> {
        (!self.has(Fault::BareBones)).then_some(self)
    }

    fn as_statistics(&self) -> Option<&dyn Statistics> {
        let lacks = self.has(Fault::BareBones) || self.has(Fault::NoStatistics);
        (!lacks).then_some(self)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model({:?})", self.shared.fault)
    }
}

/// A blocking receive's place in line.
struct Place<'a> {
    model: &'a Model,
    slot: Slot,
    /// Whether it keeps its place when it is dropped.
    stays: bool,
}

impl Place<'_> {
    fn take(self) -> Option<(ChannelName, Message)> {
        self.leave();
        self.slot.lock().unwrap().take()
    }

    fn leave(&self) {
        let mut state = self.model.state();
        state
            .waiting
            .retain(|waiting| !Arc::ptr_eq(&waiting.slot, &self.slot));
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.stays {
            self.leave();
        }
    }
}
