//! Who waits for what, and what is already here. Everything in this file happens under one lock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use asgiref::{ChannelKind, ChannelName};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::{Error, Result};

use super::parcel::Ready;

pub(super) type Answer<T> = oneshot::Sender<Result<T>>;

#[derive(Debug, Default)]
pub(super) struct State {
    /// The callers that wait, by what they wait for.
    classes: HashMap<Arc<[ChannelName]>, VecDeque<Answer<Ready>>>,
    /// What was taken off the broker and waits for callers, by queue.
    here: HashMap<ChannelName, VecDeque<Ready>>,
    /// The queues of which something is kept that is to go back if nobody asks for it.
    pub(super) giving_back: HashSet<ChannelName>,
    /// Whether the task that receives runs.
    pub(super) running: bool,
    pub(super) closed: bool,
    /// Whether the task holds nothing and waits to be told.
    pub(super) at_rest: bool,
}

/// A set of channels somebody waits on.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) channels: Arc<[ChannelName]>,
    /// How many callers wait.
    pub(super) callers: usize,
}

impl State {
    /// A message for any of `channels` that is in this process already.
    pub(super) fn take_here(&mut self, channels: &[ChannelName]) -> Option<Ready> {
        if self.here.is_empty() {
            return None;
        }
        let now = Instant::now();
        for channel in channels {
            let Some(waiting) = self.here.get_mut(channel) else {
                continue;
            };
            let found = loop {
                match waiting.pop_front() {
                    Some(ready) if ready.is_expired(now) => {}
                    found => break found,
                }
            };
            if waiting.is_empty() {
                self.here.remove(channel);
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Registers a caller.
    pub(super) fn join(&mut self, channels: &[ChannelName], answer: Answer<Ready>) {
        match self.classes.get_mut(channels) {
            Some(waiting) => waiting.push_back(answer),
            None => {
                self.classes.insert(channels.into(), [answer].into());
            }
        }
    }

    /// What is waited for.
    pub(super) fn demand(&mut self) -> Vec<Demand> {
        self.classes.retain(|_, waiting| {
            waiting.retain(|answer| !answer.is_closed());
            !waiting.is_empty()
        });
        let classes = self.classes.iter();
        classes
            .map(|(channels, waiting)| Demand {
                channels: Arc::clone(channels),
                callers: waiting.len(),
            })
            .collect()
    }

    /// How many callers wait for exactly these channels.
    pub(super) fn callers(&self, channels: &[ChannelName]) -> usize {
        let waiting = self.classes.get(channels);
        waiting.map_or(0, |waiting| {
            waiting.iter().filter(|answer| !answer.is_closed()).count()
        })
    }

    /// Whether anybody waits for a message of this queue.
    pub(super) fn is_wanted(&self, queue: &ChannelName) -> bool {
        self.classes.iter().any(|(channels, waiting)| {
            channels.contains(queue) && waiting.iter().any(|answer| !answer.is_closed())
        })
    }

    /// Hands messages out, to those who wait for `channels` first; returns those nobody wants.
    pub(super) fn hand_out(
        &mut self,
        channels: &[ChannelName],
        came: impl IntoIterator<Item = Ready>,
    ) -> Vec<Ready> {
        came.into_iter()
            .filter_map(|ready| {
                let ready = match self.classes.get_mut(channels) {
                    Some(waiting) => give(waiting, ready)?,
                    None => ready,
                };
                self.offer(ready)
            })
            .collect()
    }

    /// The message, if no caller waits for it.
    pub(super) fn offer(&mut self, mut ready: Ready) -> Option<Ready> {
        for (channels, waiting) in &mut self.classes {
            if channels.iter().any(|channel| channel == ready.queue()) {
                ready = give(waiting, ready)?;
            }
        }
        Some(ready)
    }

    /// Keeps a message that nobody wants at the moment if its channel has a single reader, and what
    /// an envelope held, so that it stays in order; hands it back otherwise.
    pub(super) fn keep(&mut self, ready: Ready, may_keep: bool) -> Option<Ready> {
        let queue = match &ready {
            Ready::Parcel(parcel) if may_keep && parcel.queue.kind() != ChannelKind::Normal => {
                parcel.queue.clone()
            }
            Ready::Parcel(_) => return Some(ready),
            Ready::Opened { channel, .. } => channel.to_non_local(),
        };
        self.here.entry(queue).or_default().push_front(ready);
        None
    }

    /// Puts the messages of an envelope before all others of their queue, and hands them to those
    /// who wait.
    pub(super) fn keep_first(&mut self, queue: &ChannelName, opened: Vec<Ready>) {
        let here = self.here.entry(queue.clone()).or_default();
        for ready in opened.into_iter().rev() {
            here.push_front(ready);
        }
        while let Some(ready) = self.take_here(std::slice::from_ref(queue)) {
            if let Some(ready) = self.offer(ready) {
                self.here
                    .entry(queue.clone())
                    .or_default()
                    .push_front(ready);
                break;
            }
        }
    }

    /// Whether messages are kept here that would go back to their queue: what came in an envelope
    /// shows that this process reads the queue.
    pub(super) fn may_give_back(&mut self, queue: &ChannelName) -> bool {
        let now = Instant::now();
        let Some(waiting) = self.here.get_mut(queue) else {
            return false;
        };
        waiting.retain(|ready| !ready.is_expired(now));
        if waiting.is_empty() {
            self.here.remove(queue);
            return false;
        }
        let mut waiting = waiting.iter();
        waiting.all(|ready| matches!(ready, Ready::Parcel(_)))
    }

    /// Takes out what is kept here of a queue.
    pub(super) fn drain_queue(&mut self, queue: &ChannelName) -> Vec<Ready> {
        self.here.remove(queue).map_or_else(Vec::new, Vec::from)
    }

    /// Takes all out that is kept here.
    pub(super) fn drain_here(&mut self) -> Vec<Ready> {
        let all = self.here.drain().flat_map(|(_, waiting)| waiting);
        all.collect()
    }

    /// Forgets what is kept here.
    pub(super) fn forget(&mut self) {
        self.here.clear();
    }

    /// Fails all who wait.
    pub(super) fn fail(&mut self, error: &Error) {
        for (_, waiting) in self.classes.drain() {
            for answer in waiting {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }

    /// The task that receives is gone with its runtime: callers are told, by dropping what they
    /// wait for, so that they start another.
    pub(super) fn abandon(&mut self) {
        self.running = false;
        self.classes.clear();
    }
}

/// Hands a message to the first who still waits, or back.
fn give(waiting: &mut VecDeque<Answer<Ready>>, mut ready: Ready) -> Option<Ready> {
    while let Some(answer) = waiting.pop_front() {
        match answer.send(Ok(ready)) {
            Ok(()) | Err(Err(_)) => return None,
            Err(Ok(back)) => ready = back,
        }
    }
    Some(ready)
}
