//! What group sends have learnt, to save requests. Whoever acts on a hint finds out at the server
//! if it is not true any more.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use asgiref::GroupName;

/// How many groups and queues are kept in mind, each.
const MAX_HINTS: usize = 1024;

/// Of how many queues a group send tells the server the capacity.
const MAX_QUEUES: usize = 64;

/// For how long a group's members are looked at one by one.
const EXPIRED_FOR: Duration = Duration::from_secs(60);

/// For how long a group is believed to have many members.
const LARGE_FOR: Duration = Duration::from_secs(60);

/// For how long the server is told the capacity of a queue.
const QUEUE_FOR: Duration = Duration::from_secs(60);

/// For how long a process is believed not to read envelopes. One that begins to has waited for
/// them shortly enough.
const NO_READER_FOR: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Hints {
    /// Groups with members on whose queues messages have expired.
    expired: Mutex<Recent<GroupName>>,
    /// Groups with more members than the server serves by itself.
    large: Mutex<Recent<GroupName>>,
    /// Queues whose process does not read envelopes.
    no_readers: Mutex<Recent<String>>,
    /// Queues with members of groups, whose capacities the server must be told.
    queues: Mutex<Recent<String>>,
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            expired: Mutex::new(Recent::new(MAX_HINTS)),
            large: Mutex::new(Recent::new(MAX_HINTS)),
            no_readers: Mutex::new(Recent::new(MAX_HINTS)),
            queues: Mutex::new(Recent::new(MAX_QUEUES)),
        }
    }
}

impl Hints {
    pub(super) fn note_expired(&self, group: &GroupName) {
        lock(&self.expired).insert(group.clone(), EXPIRED_FOR);
    }

    pub(super) fn has_expired(&self, group: &GroupName) -> bool {
        lock(&self.expired).contains(group)
    }

    pub(super) fn note_large(&self, group: &GroupName) {
        lock(&self.large).insert(group.clone(), LARGE_FOR);
    }

    pub(super) fn is_large(&self, group: &GroupName) -> bool {
        lock(&self.large).contains(group)
    }

    pub(super) fn note_queue(&self, queue: &str) {
        lock(&self.queues).insert(queue.to_owned(), QUEUE_FOR);
    }

    pub(super) fn queues(&self) -> Vec<String> {
        lock(&self.queues).all()
    }

    pub(super) fn note_no_reader(&self, queue: &str) {
        lock(&self.no_readers).insert(queue.to_owned(), NO_READER_FOR);
    }

    pub(super) fn is_no_reader(&self, queue: &str) -> bool {
        lock(&self.no_readers).contains(queue)
    }
}

/// A bounded set whose items leave it after a while.
#[derive(Debug)]
struct Recent<T> {
    until: HashMap<T, Instant>,
    most: usize,
}

impl<T: Eq + Hash> Recent<T> {
    fn new(most: usize) -> Self {
        Self {
            until: HashMap::new(),
            most,
        }
    }

    fn insert(&mut self, item: T, lifetime: Duration) {
        let now = Instant::now();
        if self.until.len() >= self.most {
            self.until.retain(|_, until| *until > now);
        }
        // With more of them than that, the rest costs a request each time.
        if self.until.len() < self.most {
            self.until.insert(item, now + lifetime);
        }
    }

    fn all(&self) -> Vec<T>
    where
        T: Clone,
    {
        let now = Instant::now();
        let items = self.until.iter().filter(|(_, until)| **until > now);
        items.map(|(item, _)| item.clone()).collect()
    }

    fn contains<Q: Eq + Hash + ?Sized>(&self, item: &Q) -> bool
    where
        T: std::borrow::Borrow<Q>,
    {
        let until = self.until.get(item);
        until.is_some_and(|until| *until > Instant::now())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_ends_and_their_number_is_bounded() {
        let mut recent = Recent::new(MAX_HINTS);
        recent.insert("short", Duration::ZERO);
        assert!(!recent.contains("short"));
        for number in 0..2 * MAX_HINTS {
            recent.insert(Box::leak(number.to_string().into_boxed_str()), EXPIRED_FOR);
        }
        assert_eq!(recent.until.len(), MAX_HINTS);
        assert!(recent.contains("0"));
        assert!(!recent.contains("2000"));
        assert_eq!(recent.all().len(), MAX_HINTS);
    }
}
