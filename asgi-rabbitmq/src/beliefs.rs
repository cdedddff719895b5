use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Session;

/// How many things are believed at a time.
const MAX_BELIEVED: usize = 50_000;

/// What is believed to be at the broker, for a while and in one session: another broker may not
/// have it.
#[derive(Debug)]
pub(crate) struct Beliefs<K> {
    /// How long something is believed.
    life: Duration,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    /// The session, as its address.
    session: usize,
    since: HashMap<K, Instant>,
}

impl<K: Hash + Eq> Beliefs<K> {
    pub(crate) fn new(life: Duration) -> Self {
        Self {
            life,
            state: Mutex::new(State {
                session: 0,
                since: HashMap::new(),
            }),
        }
    }

    pub(crate) fn holds<Q>(&self, session: &Arc<Session>, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let state = self.lock();
        state.session == address(session)
            && state
                .since
                .get(key)
                .is_some_and(|since| since.elapsed() < self.life)
    }

    pub(crate) fn note(&self, session: &Arc<Session>, key: K) {
        let mut state = self.lock();
        if state.session != address(session) {
            state.session = address(session);
            state.since.clear();
        }
        if state.since.len() >= MAX_BELIEVED {
            let life = self.life;
            state.since.retain(|_, since| since.elapsed() < life);
            if state.since.len() >= MAX_BELIEVED {
                state.since.clear();
            }
        }
        state.since.insert(key, Instant::now());
    }

    pub(crate) fn forget<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().since.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn address(session: &Arc<Session>) -> usize {
    Arc::as_ptr(session) as usize
}
