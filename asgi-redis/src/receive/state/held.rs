//! Messages that are in this process, and what becomes of them.

use std::time::Duration;

use asgiref::{ChannelKind, ChannelName};
use tokio::time::Instant;

use crate::receive::parcel::{Parcel, Ready};

use super::State;

/// After how long messages of channels that others read go back, if they were taken before they were
/// asked for, and still are not.
pub(super) const STALE: Duration = Duration::from_millis(50);

/// For how long then no more is taken than was asked for.
const NONE_AHEAD: Duration = Duration::from_secs(10);

impl State {
    /// A message for any of `channels` that is in this process already.
    pub(in crate::receive) fn take_here(&mut self, channels: &[ChannelName]) -> Option<Ready> {
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

    /// Finds a caller for a message, or keeps it if its channel belongs to this process, or has
    /// it put back. A message that somebody had already comes before all others.
    pub(in crate::receive) fn keep(&mut self, ready: Ready, first: bool) {
        let Some(ready) = self.offer(ready) else {
            return;
        };
        match ready {
            Ready::Parcel(parcel) if !self.reads_ahead(&parcel.queue) => {
                self.desks[parcel.shard].returns.push(parcel);
            }
            ready => self.keep_here(ready, first),
        }
    }

    /// Puts the messages of an envelope before all others of their queue.
    pub(in crate::receive) fn keep_first(&mut self, queue: &ChannelName, opened: Vec<Ready>) {
        let here = self.here.entry(queue.clone()).or_default();
        for ready in opened.into_iter().rev() {
            here.push_front(ready);
        }
        // Others who wait for this queue get what is here now.
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

    /// What is to be put back on a server.
    pub(in crate::receive) fn take_returns(&mut self, shard: usize) -> Vec<Parcel> {
        let desk = &mut self.desks[shard];
        let returns = std::mem::take(&mut desk.returns);
        desk.at_rest = false;
        desk.putting_back = !returns.is_empty();
        returns
    }

    /// Has messages put back that were taken off a channel that others read, for callers who did
    /// not come.
    pub(in crate::receive) fn return_stale(&mut self, shard: usize, now: Instant) {
        let desk = &mut self.desks[shard];
        desk.stale_at = None;
        for (queue, waiting) in &mut self.here {
            if queue.kind() != ChannelKind::Normal {
                continue;
            }
            let before = desk.returns.len();
            waiting.retain(|ready| match ready {
                Ready::Parcel(parcel) if parcel.shard == shard => {
                    if parcel.taken + STALE <= now {
                        desk.returns.push(parcel.clone());
                        return false;
                    }
                    let at = desk.stale_at.get_or_insert(parcel.taken + STALE);
                    *at = (*at).min(parcel.taken + STALE);
                    true
                }
                _ => true,
            });
            if desk.returns.len() == before {
                continue;
            }
            for (channels, class) in &mut self.classes {
                if channels.contains(queue) {
                    class.ahead = 0;
                    class.none_ahead = Some(now + NONE_AHEAD);
                }
            }
        }
        self.here.retain(|_, waiting| !waiting.is_empty());
    }

    /// Has put back what is kept here, if it can be; returns whether there was anything.
    pub(in crate::receive) fn return_held(&mut self) -> bool {
        let mut any = false;
        for waiting in self.here.values_mut() {
            waiting.retain(|ready| match ready {
                Ready::Parcel(parcel) => {
                    self.desks[parcel.shard].returns.push(parcel.clone());
                    any = true;
                    false
                }
                Ready::Opened { .. } => true,
            });
        }
        self.here.retain(|_, waiting| !waiting.is_empty());
        any
    }

    /// The message, if no caller waits for it.
    pub(super) fn offer(&mut self, mut ready: Ready) -> Option<Ready> {
        for (channels, class) in &mut self.classes {
            if !channels.iter().any(|channel| channel == ready.queue()) {
                continue;
            }
            while let Some(answer) = class.waiting.pop_front() {
                match answer.send(Ok(ready)) {
                    Ok(()) => return None,
                    Err(Ok(back)) => ready = back,
                    Err(Err(_)) => return None,
                }
            }
        }
        Some(ready)
    }

    pub(super) fn reads_ahead(&self, queue: &ChannelName) -> bool {
        let class = self.classes.get(std::slice::from_ref(queue));
        class.is_some_and(|class| class.ahead > 0)
    }

    pub(super) fn keep_here(&mut self, ready: Ready, first: bool) {
        let queue = match &ready {
            Ready::Parcel(parcel) => parcel.queue.clone(),
            Ready::Opened { channel, .. } => channel.to_non_local(),
        };
        let here = self.here.entry(queue).or_default();
        if first {
            here.push_front(ready);
        } else {
            here.push_back(ready);
        }
    }
}
