use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many locks the names are spread over: enough that two threads rarely meet on one.
pub(super) const SHARDS: usize = 64;

/// Values by name.
///
/// Names come from the network in part (group names, reply channels), so they are found by a keyed
/// hash, which no sender can foresee: one that takes half as long as the standard library's for
/// texts this short.
pub(super) type Table<K, V> = HashMap<K, V, ahash::RandomState>;

/// A table of names cut into parts that are locked separately.
///
/// Which part a name belongs to only decides who waits for whom, so a quick mixture of its bytes is
/// enough for it.
pub(super) struct Shards<S> {
    shards: Box<[Mutex<S>]>,
}

impl<S: Default> Shards<S> {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The part `name` belongs to, locked.
    pub(super) fn lock(&self, name: &str) -> MutexGuard<'_, S> {
        lock(&self.shards[shard_of(name.as_bytes())])
    }

    /// Every part in turn, locked while it is looked at.
    pub(super) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, S>> {
        self.shards.iter().map(lock)
    }

    /// One part by its number, which is below [`SHARDS`], locked.
    pub(super) fn part(&self, number: usize) -> MutexGuard<'_, S> {
        lock(&self.shards[number])
    }

    /// All parts, locked together. Nobody else locks two parts at a time, so nobody can wait for
    /// the one who does this while being waited for.
    pub(super) fn lock_all(&self) -> Vec<MutexGuard<'_, S>> {
        self.shards.iter().map(lock).collect()
    }
}

/// Locks `mutex`. A panic elsewhere while it was held left nothing half done: no code that can
/// panic runs between the steps of a change.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives back the room of a burst of keys; room for the usual number stays.
pub(super) fn shrink<K: Hash + Eq, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.capacity() > 4 * map.len() + 32 {
        map.shrink_to(2 * map.len());
    }
}

fn shard_of(name: &[u8]) -> usize {
    /// 2^64 divided by the golden ratio: multiplied by it, every bit reaches the upper ones.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |mixed: u64, word: u64| (mixed.rotate_left(29) ^ word).wrapping_mul(SPREAD);
    let (words, rest) = name.as_chunks();
    let mixed = words
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .fold(0, mix);
    let rest = rest
        .iter()
        .fold(0, |rest, byte| rest << 8 | u64::from(*byte));
    (mix(mixed, rest) >> (u64::BITS - SHARDS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_end_alike_or_are_numbered_spread_over_the_parts() {
        for pattern in [
            "#",
            "idle.#",
            "#.request",
            "chat.room.#.messages",
            "daphne.response.AbCdEfGh!#",
        ] {
            let mut counts = [0_u32; SHARDS];
            for at in 0..64_000 {
                counts[shard_of(pattern.replace('#', &at.to_string()).as_bytes())] += 1;
            }
            let most = counts.iter().max().copied().unwrap_or_default();
            assert!(most < 2_000, "{most} of 64000 names like {pattern:?} meet");
        }
    }
}
