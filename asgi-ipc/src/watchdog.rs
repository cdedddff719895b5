//! Looking after messages somebody was woken for.
//!
//! A process that is woken for a message may die before it takes it, while others wait for one.
//! So whoever wakes another process looks again a little later. The thread that does so sleeps
//! unless somebody was woken: in a quiet system nothing happens.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::shared::Shared;

/// How long somebody who was woken has to take the message.
const PATIENCE: Duration = Duration::from_millis(100);

pub(crate) struct Watchdog {
    /// Whether the thread was told already. It is, at most, ten times a second.
    told: AtomicBool,
    link: Arc<Link>,
}

#[derive(Default)]
struct Link {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before there was a reason for a thread.
    #[default]
    Unstarted,
    Quiet,
    Told,
    Closed,
}

impl Watchdog {
    pub(crate) fn new() -> Self {
        Self {
            told: AtomicBool::new(false),
            link: Arc::default(),
        }
    }

    /// Has a look taken a little later.
    pub(crate) fn tell(&self, shared: &Weak<Shared>) {
        if self.told.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.link.lock();
        match *state {
            State::Unstarted => {
                let link = Arc::clone(&self.link);
                let shared = Weak::clone(shared);
                let thread = std::thread::Builder::new().name("asgi-ipc".to_owned());
                match thread.spawn(move || link.run(&shared)) {
                    Ok(_) => *state = State::Told,
                    Err(error) => {
                        self.told.store(false, Ordering::Release);
                        tracing::warn!(%error, "no thread to look after messages of the dead");
                    }
                }
            }
            State::Quiet => {
                *state = State::Told;
                self.link.changed.notify_one();
            }
            State::Told | State::Closed => {}
        }
    }

    /// The thread took note of everything it was told so far.
    fn listen(&self) {
        self.told.store(false, Ordering::Release);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.link.lock() = State::Closed;
        self.link.changed.notify_one();
    }
}

impl Link {
    fn run(&self, shared: &Weak<Shared>) {
        while self.wait() {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            shared.watchdog.listen();
            shared.look_after();
        }
    }

    /// Waits until it is time to look; false when the layer has ended.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while matches!(*state, State::Quiet) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let end = Instant::now() + PATIENCE;
        while *state != State::Closed {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                *state = State::Quiet;
                return true;
            }
            (state, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
