//! The list of a queue, which is appended to under the lock, and taken from with the lock or
//! without it.
//!
//! The front is one word: the oldest place, and how many were taken before it. Whoever takes a
//! place exchanges the front for one with the next place and a count that is one higher, so an
//! exchange succeeds only if nobody else was faster, even if a place has come round again: 2^32
//! messages would have to be taken between two instructions. The count goes on when a channel's
//! record is used for another channel.
//!
//! Without the lock a place is taken only if another one comes after it. The last one, which
//! senders append to, is for those who have the lock.
//!
//! A repair closes the front, so that nobody takes anything meanwhile, and opens it at the end. If
//! it is killed the front remains closed, and still says where the list begins.

use crate::segment::{Checked, Damage};

#[cfg(test)]
mod tests;

/// Set in the number of the oldest place while the queue is closed. There are fewer places.
const CLOSED: u32 = 1 << 31;

/// Where a queue begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Front {
    /// The oldest place; 0 if there is none.
    node: u32,
    /// How many were taken before.
    pub(super) taken: u32,
}

impl Front {
    pub(super) const fn new(node: u32, taken: u32) -> Self {
        Self { node, taken }
    }

    pub(super) const fn of_word(word: u64) -> Self {
        Self {
            node: word as u32,
            taken: (word >> 32) as u32,
        }
    }

    pub(super) const fn word(self) -> u64 {
        (self.taken as u64) << 32 | self.node as u64
    }

    /// The oldest place, if the queue is open and there is one.
    pub(super) const fn oldest(self) -> Option<u32> {
        match self.node {
            0 | CLOSED.. => None,
            node => Some(node),
        }
    }

    /// Whether the queue is open and empty.
    pub(super) const fn is_empty(self) -> bool {
        self.node == 0
    }

    /// The front after one place was taken.
    const fn then(self, node: u32) -> Self {
        Self {
            node,
            taken: self.taken.wrapping_add(1),
        }
    }
}

/// What a queue consists of. That of tests lets all orders of events be tried.
pub(super) trait Queue {
    fn front(&self) -> Checked<Front>;

    /// Sets the front if it is `seen`; whether it was. What was done before is seen by whoever
    /// sees the new front.
    fn exchange_front(&self, seen: Front, new: Front) -> Checked<bool>;

    /// Sets the front of a queue that is closed or empty: nobody else changes it then.
    fn set_front(&self, new: Front) -> Checked<()>;

    /// The place after `node`; 0 if there is none.
    fn next(&self, node: u32) -> Checked<u32>;

    /// Sets it. What was done before is seen by whoever sees it.
    fn set_next(&self, node: u32, next: u32) -> Checked<()>;

    /// The newest place; 0 if there is none. Looked at and changed under the lock only.
    fn tail(&self) -> Checked<u32>;

    fn set_tail(&self, node: u32) -> Checked<()>;
}

/// Appends a place, which must have none after it. Under the lock.
pub(super) fn append(queue: &impl Queue, node: u32) -> Checked<()> {
    // From the first of these stores on the message is in the queue.
    match queue.tail()? {
        0 => {
            let front = queue.front()?;
            if !front.is_empty() {
                return Err(Damage("a queue has a beginning and no end"));
            }
            queue.set_front(Front::new(node, front.taken))?;
        }
        tail => queue.set_next(tail, node)?,
    }
    queue.set_tail(node)
}

/// Takes the place `node` out, which is the oldest one according to `front`; false if somebody
/// without the lock was faster. Under the lock.
pub(super) fn take(queue: &impl Queue, front: Front, node: u32) -> Checked<bool> {
    let next = queue.next(node)?;
    // From here on the message is not in the queue.
    if !queue.exchange_front(front, front.then(next))? {
        return Ok(false);
    }
    if next == 0 {
        queue.set_tail(0)?;
    }
    Ok(true)
}

/// A queue without an oldest place is open, and has no newest one. Under the lock.
pub(super) fn check_empty(queue: &impl Queue, front: Front) -> Checked<()> {
    if front.is_empty() && queue.tail()? == 0 {
        Ok(())
    } else {
        Err(Damage("a queue has an end and no beginning"))
    }
}

/// What came of trying to take a place without the lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Taken,
    /// Somebody else was faster.
    TooLate,
    /// It is to be done under the lock.
    Last,
}

/// Takes the place `node` out, which is the oldest one according to `front`, without the lock.
/// `note` notes that it is in use: if it is taken, that was done before.
pub(super) fn take_unlocked(
    queue: &impl Queue,
    front: Front,
    node: u32,
    note: impl FnOnce() -> Checked<()>,
) -> Checked<Attempt> {
    let next = queue.next(node)?;
    if next == 0 {
        return Ok(Attempt::Last);
    }
    note()?;
    // If the front is the same still, the place was in the queue all the time, and so `next` is
    // the one after it.
    if queue.exchange_front(front, front.then(next))? {
        Ok(Attempt::Taken)
    } else {
        Ok(Attempt::TooLate)
    }
}

/// Closes a queue, if it is not closed; where it begins. Under the lock.
pub(super) fn close(queue: &impl Queue) -> Checked<Front> {
    loop {
        let front = queue.front()?;
        if front.node & CLOSED != 0 {
            return Ok(Front::new(front.node & !CLOSED, front.taken));
        }
        let closed = front.then(front.node | CLOSED);
        if queue.exchange_front(front, closed)? {
            return Ok(Front::new(front.node, closed.taken));
        }
    }
}
