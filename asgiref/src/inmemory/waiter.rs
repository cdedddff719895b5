use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::queue::Queue;

/// One blocked `receive` call, as the queues it waits on see it.
pub(super) struct Waiter {
    state: Mutex<State>,
}

enum State {
    /// Nothing came yet; the waker is there once the call was polled.
    Waiting(Option<Waker>),
    /// A queue has a message for this call.
    Notified,
}

impl Waiter {
    /// Tells the call that there is a message; false if it had been told before.
    fn notify(&self) -> bool {
        let previous = std::mem::replace(&mut *self.lock(), State::Notified);
        match previous {
            State::Notified => false,
            State::Waiting(waker) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
                true
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The blocked calls of one queue, longest waiting first.
#[derive(Default)]
pub(super) struct Waiters(VecDeque<Arc<Waiter>>);

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, waiter: Arc<Waiter>) {
        self.0.push_back(waiter);
    }

    /// Takes out the calls to be told that `messages` messages are there.
    pub(super) fn take(&mut self, messages: usize) -> Woken {
        let mut woken = Woken(None, Vec::new());
        let count = messages.min(self.0.len());
        if count > 0 {
            woken.0 = self.0.pop_front();
            woken.1.extend(self.0.drain(..count - 1));
        }
        woken
    }

    pub(super) fn remove(&mut self, waiter: &Arc<Waiter>) {
        if let Some(at) = self.0.iter().position(|known| Arc::ptr_eq(known, waiter)) {
            self.0.remove(at);
        }
    }
}

/// Calls taken out of a queue, to be told once its lock is released. The first is kept apart
/// because there is rarely a second.
#[must_use]
pub(super) struct Woken(Option<Arc<Waiter>>, Vec<Arc<Waiter>>);

impl Woken {
    /// Tells them; says how many had been told by another queue, so that more can be taken.
    pub(super) fn notify(self) -> usize {
        self.0
            .iter()
            .chain(&self.1)
            .filter(|waiter| !waiter.notify())
            .count()
    }
}

/// A blocked call's place in the queues it waits on; dropping it leaves them.
pub(super) struct Registration {
    waiter: Arc<Waiter>,
    queues: Vec<Arc<Queue>>,
}

impl Registration {
    pub(super) fn new(queues: impl Iterator<Item = Arc<Queue>>) -> Self {
        let waiter = Arc::new(Waiter {
            state: Mutex::new(State::Waiting(None)),
        });
        let queues: Vec<_> = queues.collect();
        for queue in &queues {
            queue.register(Arc::clone(&waiter));
        }
        Self { waiter, queues }
    }

    /// Waits until one of the queues has a message.
    pub(super) async fn notified(&self) {
        poll_fn(|context| match &mut *self.waiter.lock() {
            State::Notified => Poll::Ready(()),
            State::Waiting(waker) => {
                match waker {
                    Some(known) => known.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        })
        .await;
    }
}

impl Drop for Registration {
    /// A call that was told of a message and goes away without it, or with another one, passes
    /// the news on: otherwise that message would wait although others wait for it.
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.unregister(&self.waiter);
        }
        if matches!(*self.waiter.lock(), State::Notified) {
            for queue in &self.queues {
                queue.wake();
            }
        }
    }
}
