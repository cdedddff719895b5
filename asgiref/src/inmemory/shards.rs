use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many locks the keys are spread over: enough that two threads rarely meet on one.
const SHARDS: usize = 64;

/// A map cut into parts that are locked separately.
///
/// Keys come from the network in part (group names, reply channels), hence the keyed hash.
pub(super) struct Shards<K, V> {
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<K, V>>]>,
}

impl<K: Hash + Eq, V> Shards<K, V> {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect(),
        }
    }

    /// The part `key` belongs to, locked.
    pub(super) fn lock<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, HashMap<K, V>>
    where
        K: Borrow<Q>,
    {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at every entry, one locked part after the other.
    pub(super) fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.iter().for_each(|(key, value)| f(key, value));
        }
    }

    /// Keeps the entries for which `keep` is true and says whether any is left.
    pub(super) fn retain(&self, mut keep: impl FnMut(&K, &mut V) -> bool) -> bool {
        let mut any = false;
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(&mut keep);
            // Room for a burst of keys is given back, room for the usual number stays.
            if shard.capacity() > 4 * shard.len() + 32 {
                shard.shrink_to_fit();
            }
            any |= !shard.is_empty();
        }
        any
    }
}
