//! A lock between processes that survives the death of its holder.
//!
//! The lock is one word: who holds it, and whether anybody sleeps until it is free. The kernel
//! wakes a sleeper at once (a futex); one whose sleep was long asks whether the holder is still
//! alive, and if not takes the lock over, in one step and knowing that it did.
//!
//! A mutex of the C library would do the same, but keeps pointers in the shared memory, which it
//! follows: whoever can write there could end every process.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::layout::MAX_CLIENTS;

/// Set in the word while somebody sleeps.
const SLEEPERS: u32 = 1 << 31;
/// How often is tried before sleeping: a holder is done within a microsecond, and being woken
/// takes many.
const TRIES: u32 = 12;
/// The longest pause between two tries, in turns of a loop.
const LONGEST_PAUSE: u32 = 32;
/// How long the holder is trusted to be alive.
const TRUST: Duration = Duration::from_millis(10);
/// How long a live holder may take. Only one that was stopped takes so long.
const LIMIT: Duration = Duration::from_secs(5);

/// The mark of one holder: which record of the table of clients, and which of its incarnations.
/// Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    const SLOT_BITS: u32 = 9;
    const INCARNATIONS: u32 = 1 << (31 - Self::SLOT_BITS);

    pub(crate) const fn new(slot: u32, incarnation: u32) -> Self {
        Self((incarnation % Self::INCARNATIONS) << Self::SLOT_BITS | slot)
    }

    /// The record; nonsense in the word may name one that does not exist.
    pub(crate) const fn slot(self) -> u32 {
        self.0 & ((1 << Self::SLOT_BITS) - 1)
    }

    /// Whether this is the mark of that incarnation.
    pub(crate) const fn is_of(self, incarnation: u32) -> bool {
        self.0 >> Self::SLOT_BITS == incarnation % Self::INCARNATIONS
    }
}

const _: () = assert!(MAX_CLIENTS < 1 << Owner::SLOT_BITS);

/// How the lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was free.
    Free,
    /// Its holder had died: what it did may be half done.
    FromTheDead,
}

/// A live holder did not release the lock in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stuck(pub(crate) Owner);

/// Takes the lock, waiting for it if another has it.
pub(crate) fn acquire(
    word: &AtomicU32,
    me: Owner,
    is_alive: impl Fn(Owner) -> bool,
) -> Result<Taken, Stuck> {
    let mut pause = 1;
    for _ in 0..TRIES {
        let free = word.compare_exchange(0, me.0, Ordering::Acquire, Ordering::Relaxed);
        if free.is_ok() {
            return Ok(Taken::Free);
        }
        // Pauses become longer. Who holds the lock may take it several times meanwhile, while
        // what it uses is in its processor's cache: that is faster for all than taking turns.
        for _ in 0..pause {
            std::hint::spin_loop();
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    acquire_slowly(word, me, is_alive)
}

/// Releases the lock.
pub(crate) fn release(word: &AtomicU32) {
    if word.swap(0, Ordering::Release) & SLEEPERS != 0 {
        wake_one(word);
    }
}

#[cold]
fn acquire_slowly(
    word: &AtomicU32,
    me: Owner,
    is_alive: impl Fn(Owner) -> bool,
) -> Result<Taken, Stuck> {
    let start = Instant::now();
    // Others may sleep as well, which nobody knows any more once the word was free.
    let mine = me.0 | SLEEPERS;
    loop {
        let seen = word.load(Ordering::Relaxed);
        if seen == 0 {
            let free = word.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed);
            if free.is_ok() {
                return Ok(Taken::Free);
            }
            continue;
        }
        let asleep = seen | SLEEPERS;
        if seen != asleep
            && word
                .compare_exchange(seen, asleep, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            continue;
        }
        if sleep(word, asleep) {
            continue;
        }
        // Incarnations differ, so the word is the same only if the holder is.
        let holder = Owner(seen & !SLEEPERS);
        if !is_alive(holder) {
            let taken = word.compare_exchange(asleep, mine, Ordering::Acquire, Ordering::Relaxed);
            if taken.is_ok() {
                return Ok(Taken::FromTheDead);
            }
        } else if start.elapsed() > LIMIT {
            return Err(Stuck(holder));
        }
    }
}

/// Sleeps while the word is `seen`; false if the sleep was long.
#[cfg(target_os = "linux")]
fn sleep(word: &AtomicU32, seen: u32) -> bool {
    use rustix::io::Errno;
    use rustix::thread::futex;

    let timeout = futex::Timespec {
        tv_sec: 0,
        tv_nsec: TRUST.as_nanos() as _,
    };
    // Not private: the word is in memory of several processes.
    let slept = futex::wait(word, futex::Flags::empty(), seen, Some(&timeout));
    slept != Err(Errno::TIMEDOUT)
}

#[cfg(target_os = "linux")]
fn wake_one(word: &AtomicU32) {
    use rustix::thread::futex;

    // Fails only for words that are not there.
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}

/// Elsewhere there is no portable way to sleep on a word that processes share; the holder is done
/// within microseconds, so little is lost by looking again later.
#[cfg(not(target_os = "linux"))]
#[expect(
    clippy::disallowed_methods,
    reason = "the wait for a lock is a blocking one"
)]
fn sleep(word: &AtomicU32, seen: u32) -> bool {
    let start = Instant::now();
    while word.load(Ordering::Relaxed) == seen {
        if start.elapsed() > TRUST {
            return false;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    true
}

#[cfg(not(target_os = "linux"))]
fn wake_one(_: &AtomicU32) {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize};

    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let word = AtomicU32::new(0);
        let (inside, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for slot in 1..=4 {
                let (word, inside, done) = (&word, &inside, &done);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        let taken = acquire(word, Owner::new(slot, 7), |_| true).unwrap();
                        assert_eq!(taken, Taken::Free);
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        done.store(done.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                        inside.fetch_sub(1, Ordering::Relaxed);
                        release(word);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 80_000);
        assert_eq!(word.into_inner(), 0);
    }

    #[test]
    fn the_lock_of_the_dead_is_taken_over_by_one() {
        let dead = Owner::new(9, 1);
        let word = AtomicU32::new(dead.0);
        let takers = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for slot in 1..=4 {
                let (word, takers) = (&word, &takers);
                scope.spawn(move || {
                    let me = Owner::new(slot, 1);
                    match acquire(word, me, |holder| holder != dead).unwrap() {
                        Taken::Free => {}
                        Taken::FromTheDead => {
                            takers.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    release(word);
                });
            }
        });
        assert_eq!(takers.into_inner(), 1);
    }

    #[test]
    fn nonsense_in_the_word_is_nobody() {
        let word = AtomicU32::new(u32::MAX);
        let me = Owner::new(1, 1);
        let taken = acquire(&word, me, |holder| holder.slot() <= MAX_CLIENTS).unwrap();
        assert_eq!(taken, Taken::FromTheDead);
        release(&word);
        assert_eq!(word.into_inner(), 0);
    }

    #[test]
    fn incarnations_are_told_apart() {
        let owner = Owner::new(256, 5);
        assert_eq!(owner.slot(), 256);
        assert!(owner.is_of(5) && !owner.is_of(6));
        assert!(Owner::new(1, u32::MAX).is_of(u32::MAX));
    }
}
