//! A lock between processes that survives the death of its holder.
//!
//! The lock is one word: who holds it, and whether anybody sleeps until it is free. The kernel
//! wakes a sleeper at once (a futex); one whose sleep was long asks whether the holder is still
//! alive, and if not takes the lock over, in one step and knowing that it did.
//!
//! A mutex of the C library would do the same, but keeps pointers in the shared memory, which it
//! follows: whoever can write there could end every process.

mod word;

#[cfg(test)]
mod tests;

use crate::layout::MAX_CLIENTS;

pub(crate) use word::Word;

/// Set in the word while somebody sleeps.
const SLEEPERS: u32 = 1 << 31;
/// The longest pause between two tries, in turns of a loop.
const LONGEST_PAUSE: u32 = 32;

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

/// Takes the lock, waiting for it if another has it. `is_late` says whether whoever asked has waited
/// for too long; it is asked each time that a live holder was found to take long.
pub(crate) fn acquire<W: Word>(
    word: &W,
    me: Owner,
    is_alive: impl Fn(Owner) -> bool,
    is_late: impl Fn() -> bool,
) -> Result<Taken, Stuck> {
    let mut pause = 1;
    for _ in 0..W::TRIES {
        if word.exchange(0, me.0) {
            return Ok(Taken::Free);
        }
        // Pauses become longer. Who holds the lock may take it several times meanwhile, while
        // what it uses is in its processor's cache: that is faster for all than taking turns.
        word.pause(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    acquire_slowly(word, me, is_alive, is_late)
}

/// Releases the lock.
pub(crate) fn release(word: &impl Word) {
    if word.clear() & SLEEPERS != 0 {
        word.wake_one();
    }
}

#[cold]
fn acquire_slowly(
    word: &impl Word,
    me: Owner,
    is_alive: impl Fn(Owner) -> bool,
    is_late: impl Fn() -> bool,
) -> Result<Taken, Stuck> {
    // Others may sleep as well, which nobody knows any more once the word was free.
    let mine = me.0 | SLEEPERS;
    loop {
        let seen = word.load();
        if seen == 0 {
            if word.exchange(0, mine) {
                return Ok(Taken::Free);
            }
            continue;
        }
        let asleep = seen | SLEEPERS;
        if seen != asleep && !word.exchange(seen, asleep) {
            continue;
        }
        if word.sleep(asleep) {
            continue;
        }
        // Incarnations differ, so the word is the same only if the holder is.
        let holder = Owner(seen & !SLEEPERS);
        if !is_alive(holder) {
            if word.exchange(asleep, mine) {
                return Ok(Taken::FromTheDead);
            }
        } else if is_late() {
            return Err(Stuck(holder));
        }
    }
}
