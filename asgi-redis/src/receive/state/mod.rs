//! Who waits for what, and what is already here. Everything in this module happens under one lock.

mod bids;
mod claims;
mod class;
mod held;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use asgiref::ChannelName;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::ring::Ring;

use class::Class;

use super::parcel::{Parcel, Ready};

pub(super) use claims::{Claim, Wants};

/// How many sets of channels that nobody waits on at the moment are remembered.
const MAX_IDLE_CLASSES: usize = 32;

pub(super) type Answer<T> = oneshot::Sender<Result<T>>;

#[derive(Debug)]
pub(super) struct State {
    classes: HashMap<Arc<[ChannelName]>, Class>,
    /// How many sets of channels there were so far.
    class_count: u64,
    /// What was taken off servers and waits for callers, by queue.
    here: HashMap<ChannelName, VecDeque<Ready>>,
    pub(super) desks: Vec<DeskState>,
    pub(super) closed: bool,
}

/// What there is to do at one server.
#[derive(Debug, Default)]
pub(super) struct DeskState {
    pub(super) looks: VecDeque<Look>,
    /// Messages to be put back.
    pub(super) returns: Vec<Parcel>,
    /// Whether the server cannot be reached.
    pub(super) down: bool,
    /// Whether a task works here.
    pub(super) running: bool,
    /// Whether nobody waits, and the task for somebody who does.
    pub(super) at_rest: bool,
    /// Whether messages are on their way back to the server.
    pub(super) putting_back: bool,
    /// When to look for messages that go back because nobody asked for them.
    pub(super) stale_at: Option<Instant>,
    /// The mark that was found on the server.
    pub(super) data: Option<Bytes>,
}

/// A caller that does not wait.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) queues: Vec<ChannelName>,
    pub(super) answer: Answer<Option<Ready>>,
}

/// A set of channels somebody waits on.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) class: Arc<[ChannelName]>,
    /// Those at the server asked about.
    pub(super) queues: Arc<[ChannelName]>,
}

impl State {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            classes: HashMap::new(),
            class_count: 0,
            here: HashMap::new(),
            desks: std::iter::repeat_with(DeskState::default)
                .take(shards)
                .collect(),
            closed: false,
        }
    }

    /// Registers a caller; returns the servers whose desk must be told.
    pub(super) fn join(
        &mut self,
        channels: &[ChannelName],
        ring: &Ring,
        answer: Answer<Ready>,
    ) -> Vec<usize> {
        if !self.classes.contains_key(channels) {
            self.forget_idle_classes();
            self.class_count += 1;
            let class = Class::new(self.class_count, channels, ring);
            self.classes.insert(channels.into(), class);
        }
        let Some(class) = self.classes.get_mut(channels) else {
            return Vec::new();
        };
        class.waiting.push_back(answer);
        class.abandoned = false;
        (0..class.queues.len())
            .filter(|shard| !class.queues[*shard].is_empty())
            .filter(|shard| !class.covered[*shard] || class.should_raise(*shard))
            .collect()
    }

    /// A caller has given up; returns the servers whose desk must be told.
    pub(super) fn leave(&mut self, channels: &[ChannelName]) -> Vec<usize> {
        let Some(class) = self.classes.get_mut(channels) else {
            return Vec::new();
        };
        class.waiting.retain(|answer| !answer.is_closed());
        class.abandoned = class.waiting.is_empty();
        if !class.abandoned {
            return Vec::new();
        }
        let covered = (0..class.covered.len()).filter(|shard| class.covered[*shard]);
        covered.collect()
    }

    /// What is waited for at a server.
    pub(super) fn demand(&mut self, shard: usize) -> Vec<Demand> {
        self.classes
            .iter_mut()
            .filter(|(_, class)| !class.queues[shard].is_empty())
            .filter_map(|(name, class)| {
                class.waiting.retain(|answer| !answer.is_closed());
                (!class.waiting.is_empty()).then(|| Demand {
                    class: Arc::clone(name),
                    queues: Arc::clone(&class.queues[shard]),
                })
            })
            .collect()
    }

    /// Notes which sets of channels the blocking read at a server listens for.
    pub(super) fn cover(&mut self, shard: usize, demand: &[Demand]) {
        for class in self.classes.values_mut() {
            class.covered[shard] = false;
        }
        for demand in demand {
            if let Some(class) = self.classes.get_mut(&demand.class) {
                class.covered[shard] = true;
            }
        }
    }

    /// Whether there is a blocking read at a server.
    pub(super) fn is_reading(&self, shard: usize) -> bool {
        self.classes.values().any(|class| class.covered[shard])
    }

    /// Whether the blocking read at a server listens for what it should: for all that is waited
    /// for, and nothing that was given up.
    pub(super) fn is_covered(&self, shard: usize) -> bool {
        self.classes.values().all(|class| {
            if class.covered[shard] {
                !class.abandoned
            } else {
                class.waiting.is_empty() || class.queues[shard].is_empty()
            }
        })
    }

    /// Forgets what is kept here, and what is known of the servers' data.
    pub(super) fn forget(&mut self) {
        self.here.clear();
        self.desks.iter_mut().for_each(|desk| desk.data = None);
    }

    /// Fails the callers at a server that cannot be reached, unless another server may serve
    /// them.
    pub(super) fn fail(&mut self, shard: usize, error: &Error) {
        self.desks[shard].down = true;
        for look in self.desks[shard].looks.drain(..) {
            let _ = look.answer.send(Err(error.clone()));
        }
        for class in self.classes.values_mut() {
            let concerned = !class.queues[shard].is_empty();
            let hopeless = class
                .queues
                .iter()
                .zip(&self.desks)
                .all(|(queues, desk)| queues.is_empty() || desk.down);
            if concerned && hopeless {
                for answer in class.waiting.drain(..) {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// The task at a server is gone with its runtime: callers are told, by dropping what they
    /// wait for, so that they start another.
    pub(super) fn abandon(&mut self, shard: usize) {
        let desk = &mut self.desks[shard];
        desk.running = false;
        desk.looks.clear();
        for class in self.classes.values_mut() {
            class.covered[shard] = false;
            if !class.queues[shard].is_empty() {
                class.waiting.clear();
            }
        }
    }

    fn forget_idle_classes(&mut self) {
        if self.classes.len() < MAX_IDLE_CLASSES {
            return;
        }
        self.classes.retain(|_, class| {
            !class.waiting.is_empty() || class.claimed > 0 || class.covered.contains(&true)
        });
    }
}
