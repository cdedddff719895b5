use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
    /// A session that has ended keeps its address as long as it is known here, so that no other one
    /// is mistaken for it.
    session: Weak<Session>,
    since: HashMap<K, Instant>,
}

impl<K: Hash + Eq> Beliefs<K> {
    pub(crate) fn new(life: Duration) -> Self {
        Self {
            life,
            state: Mutex::new(State {
                session: Weak::new(),
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
        is_same(&state.session, session)
            && state
                .since
                .get(key)
                .is_some_and(|since| since.elapsed() < self.life)
    }

    pub(crate) fn note(&self, session: &Arc<Session>, key: K) {
        let mut state = self.lock();
        if !is_same(&state.session, session) {
            state.session = Arc::downgrade(session);
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

fn is_same(known: &Weak<Session>, session: &Arc<Session>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(session))
}
