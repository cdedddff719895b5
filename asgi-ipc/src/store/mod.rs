//! Channels, messages and groups inside a segment.
//!
//! Everything here happens under the segment's lock, except that messages are taken out of a
//! [`queue`] without it too. Links that say what exists (from a channel to
//! its messages, from a message to its bytes, from a membership to its group and channel) are
//! written last, in one store each; all else, free lists, counts, hash tables and back links, can
//! be found again from these, which is what [`repair`] does when the holder of the lock died.

mod channels;
mod clients;
mod counter;
mod flush;
mod groups;
mod hand;
mod messages;
#[cfg(test)]
mod mishaps;
mod names;
mod overview;
mod pools;
mod queue;
mod receiving;
mod reclaim;
mod repair;
mod taken;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Time;
use crate::error::Error;
use crate::file::Opened;
use crate::layout::{Layout, MAX_CLIENTS, client, header};
use crate::lock::{self, Owner, Stuck};
use crate::peers::Peers;
use crate::segment::{Checked, Damage, Segment};

pub(crate) use channels::{Outgoing, Refused};
pub(crate) use clients::News;
pub(crate) use groups::NoRoom;
pub(crate) use taken::{Popped, Quick, Taken};

use hand::Hand;

/// How long a live holder of the lock may take. Only one that was stopped takes so long. It counts
/// from when an operation began, as others of the same process may have waited before it.
const LIMIT: Duration = Duration::from_secs(5);

/// A segment, as one client of it.
pub(crate) struct Store {
    segment: Segment,
    layout: Layout,
    seed: u64,
    peers: Peers,
    owner: Owner,
    slot: u32,
    /// How long a channel is remembered after it was used last.
    memory: Duration,
    /// Counts what may be given back by this client's sends.
    sends: AtomicU32,
    /// Held open, and locked, as long as the client lives.
    pipe: File,
    hand: Mutex<Hand>,
}

/// What an operation leaves to be done when the lock is released.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effects {
    /// This client has news.
    pub(crate) news: bool,
    /// Another client was woken, and should take its message soon.
    pub(crate) woke: bool,
}

impl Store {
    /// Becomes a client of a segment. `memory` is how long unused channels are remembered.
    pub(crate) fn open(
        path: &Path,
        opened: &Opened,
        mode: u32,
        memory: Duration,
    ) -> Result<Self, Error> {
        let segment = opened.map(path)?;
        let layout = opened.layout.clone();
        let peers = Peers::new(path, opened.id, opened.owner(path)?);
        let (slot, pipe) = peers.claim(mode)?;
        // Nobody else writes this: the place is ours.
        let at = layout.clients.at(slot)? + client::INCARNATION;
        let incarnation = segment.load(at)?.wrapping_add(1);
        segment.store(at, incarnation)?;
        let hand = Hand::new(
            layout.clients.at(slot)?,
            layout.nodes.count,
            layout.blocks.count,
        );
        let store = Self {
            hand: Mutex::new(hand),
            segment,
            layout,
            seed: opened.id,
            peers,
            owner: Owner::new(slot, incarnation),
            slot,
            memory,
            sends: AtomicU32::new(0),
            pipe,
        };
        store.run(|locked| locked.join())?;
        Ok(store)
    }

    /// From now on the process has no effect, as if it were killed.
    #[cfg(test)]
    pub(crate) fn die(&self) {
        self.segment.die_after(0);
    }

    /// The pipe over which this client is woken.
    pub(crate) const fn pipe(&self) -> &File {
        &self.pipe
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Does something under the lock. If it comes upon damage, the segment is repaired and it is
    /// done again: `work` must leave nothing half done that counts when it fails.
    pub(crate) fn run<T>(
        &self,
        work: impl FnMut(&Locked<'_>) -> Checked<T>,
    ) -> Result<(T, Effects), Error> {
        let now = Time::now();
        self.run_with(self.hand(), now, work, |result, _| result)
    }

    /// Sends a message: it is written before the lock is asked for, as far as there is enough at
    /// hand.
    pub(crate) fn send(
        &self,
        outgoing: &Outgoing<'_>,
    ) -> Result<(Result<(), Refused>, Effects), Error> {
        let now = Time::now();
        let hand = self.hand();
        let prepared = self.prepare(&hand, outgoing, now)?;
        let send = |locked: &Locked<'_>| locked.send(outgoing, prepared);
        self.run_with(hand, now, send, |sent, hand| {
            self.prefetch_hand(hand);
            sent
        })
    }

    /// As [`run`](Self::run), for taking messages: they are read after the lock was released.
    pub(crate) fn receive<T, R>(
        &self,
        work: impl FnMut(&Locked<'_>) -> Checked<T>,
        read: impl FnOnce(T, &Segment) -> Checked<R>,
    ) -> Result<(R, Effects), Error> {
        let read = |taken, _: &Hand| read(taken, &self.segment);
        let now = Time::now();
        let (read, effects) = self.run_with(self.hand(), now, work, read)?;
        Ok((read?, effects))
    }

    /// `after` is done when the lock is released, and nobody else uses what is at hand yet.
    fn run_with<T, R>(
        &self,
        hand: MutexGuard<'_, Hand>,
        now: Time,
        mut work: impl FnMut(&Locked<'_>) -> Checked<T>,
        after: impl FnOnce(T, &Hand) -> R,
    ) -> Result<(R, Effects), Error> {
        let locked = self.locked(self.lock(now)?, hand, now);
        locked.repair_if_needed()?;
        let result = match work(&locked) {
            Err(_) => {
                locked.repair()?;
                work(&locked)?
            }
            Ok(result) => result,
        };
        let effects = locked.finish();
        Ok((after(result, &locked.hand()), effects))
    }

    /// The same for work that must not be done twice.
    pub(crate) fn run_once<T>(
        &self,
        work: impl FnOnce(&Locked<'_>) -> Checked<T>,
    ) -> Result<(T, Effects), Error> {
        let now = Time::now();
        let hand = self.hand();
        let locked = self.locked(self.lock(now)?, hand, now);
        locked.repair_if_needed()?;
        match work(&locked) {
            Ok(result) => Ok((result, locked.finish())),
            Err(damage) => {
                locked.repair()?;
                Err(damage.into())
            }
        }
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self, now: Time) -> Result<Held<'_>, Error> {
        let word = self.segment.word(header::LOCK)?;
        let is_late = || Time::now().since(now) > LIMIT;
        let taken = lock::acquire(word, self.owner, |owner| self.is_alive(owner), is_late)
            .map_err(|Stuck(owner)| self.stuck(owner))?;
        Ok(Held {
            store: self,
            word: Cell::new(Some(word)),
            from_the_dead: taken == lock::Taken::FromTheDead,
        })
    }

    /// Made in place: moving it costs more than some of what is done with it.
    #[inline(always)]
    fn locked<'a>(&'a self, word: Held<'a>, hand: MutexGuard<'a, Hand>, now: Time) -> Locked<'a> {
        Locked {
            store: self,
            word,
            now,
            hand: RefCell::new(hand),
            news: Cell::new(false),
            to_wake: Cell::default(),
        }
    }

    fn is_alive(&self, owner: Owner) -> bool {
        if owner == self.owner {
            return true;
        }
        let incarnation = self
            .layout
            .clients
            .at(owner.slot())
            .and_then(|at| self.segment.load(at + client::INCARNATION));
        incarnation.is_ok_and(|now| owner.is_of(now)) && self.peers.is_alive(owner.slot())
    }

    fn stuck(&self, owner: Owner) -> Error {
        let pid = self
            .layout
            .clients
            .at(owner.slot())
            .and_then(|at| self.segment.load(at + client::PID));
        Error::Stuck {
            pid: pid.unwrap_or_default(),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // What fails here is found by the next client: the pipe's lock goes with this process.
        let _ = self.run(|locked| locked.leave());
        // There may be other handles to the pipe, in tasks that are about to end.
        let _ = self.pipe.unlock();
    }
}

/// A store whose lock is held until this is dropped.
pub(crate) struct Locked<'a> {
    store: &'a Store,
    word: Held<'a>,
    hand: RefCell<MutexGuard<'a, Hand>>,
    /// When the lock was asked for; one moment for all of an operation.
    pub(crate) now: Time,
    news: Cell<bool>,
    /// The clients that are woken when the lock is released: one bit for each. A process that is
    /// woken runs at once, and would find the lock taken.
    to_wake: Cell<[u64; MAX_CLIENTS as usize / 64]>,
}

impl<'a> Locked<'a> {
    const fn segment(&self) -> &Segment {
        &self.store.segment
    }

    const fn layout(&self) -> &Layout {
        &self.store.layout
    }

    fn get(&self, at: usize) -> Checked<u32> {
        self.store.segment.load(at)
    }

    fn set(&self, at: usize, value: u32) -> Checked<()> {
        self.store.segment.store(at, value)
    }

    fn get_long(&self, at: usize) -> Checked<u64> {
        self.store.segment.load_long(at)
    }

    fn set_long(&self, at: usize, value: u64) -> Checked<()> {
        self.store.segment.store_long(at, value)
    }

    fn get_time(&self, at: usize) -> Checked<Time> {
        self.get_long(at).map(Time)
    }

    /// Changes a count by which nothing is reached: nonsense in it does no harm.
    fn change(&self, at: usize, change: impl FnOnce(u32) -> u32) -> Checked<()> {
        self.set(at, change(self.get(at)?))
    }

    /// Notes that a client is to be woken.
    fn wake_later(&self, slot: u32) {
        let mut clients = self.to_wake.get();
        if let Some(bits) = clients.get_mut((slot as usize - 1) / 64) {
            *bits |= 1 << ((slot - 1) % 64);
        }
        self.to_wake.set(clients);
    }

    fn repair_if_needed(&self) -> Checked<()> {
        if self.word.from_the_dead || self.get(header::DIRTY)? != 0 {
            self.repair()?;
        }
        Ok(())
    }

    /// Releases the lock and wakes those that are to be woken. What is at hand is still held.
    fn finish(&self) -> Effects {
        self.word.release();
        let mut woke = false;
        for (word, mut bits) in (0..).zip(self.to_wake.get()) {
            while bits != 0 {
                woke = true;
                self.store.peers.wake(word * 64 + bits.trailing_zeros() + 1);
                bits &= bits - 1;
            }
        }
        Effects {
            news: self.news.get(),
            woke,
        }
    }
}

/// The lock, held until it is released or this is dropped.
struct Held<'a> {
    store: &'a Store,
    word: Cell<Option<&'a AtomicU32>>,
    /// Its holder had died.
    from_the_dead: bool,
}

impl Held<'_> {
    fn release(&self) {
        if let Some(word) = self.word.take() {
            lock::release(word);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && self.word.get().is_some() {
            // Whatever was half done is put right by the next holder.
            if let Ok(dirty) = self.store.segment.word(header::DIRTY) {
                dirty.store(1, Ordering::Release);
            }
        }
        self.release();
    }
}

/// Goes through a list, and says so if it has more links than there are records.
struct Steps {
    left: u32,
}

impl Steps {
    const fn new(records: u32) -> Self {
        Self { left: records }
    }

    fn step(&mut self) -> Checked<()> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(Damage("a list goes in circles"))?;
        Ok(())
    }
}
