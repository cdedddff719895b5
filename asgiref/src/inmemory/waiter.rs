use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::queue::{Moment, Pending, Queue, Received};
use super::shards::lock;

/// The blocked `receive` calls of one queue, longest waiting first.
///
/// Each message that arrives is announced to one call, by *claiming* it. A call claimed by one
/// queue cannot be claimed by another; it is responsible for the message until it has taken it or
/// passed the news on. So a message never lies in a queue while every call that could take it
/// sleeps.
#[derive(Default)]
pub(super) struct Line {
    places: VecDeque<Place>,
    next_ticket: u64,
}

struct Place {
    /// Rises along the line, so that a place is found by bisection.
    ticket: u64,
    /// Which of the call's queues this one is.
    number: usize,
    waiter: Arc<Waiter>,
}

/// One blocked call, as its queues see it.
pub(super) struct Waiter {
    state: Mutex<State>,
}

enum State {
    Waiting(Waker),
    /// The call's queue of this number has a message for it.
    Claimed(usize),
    /// The call is over, or will pass on nothing any more.
    Left,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Puts a call at the end; the ticket is to [`leave`](Self::leave) with.
    pub(super) fn join(&mut self, waiter: &Arc<Waiter>, number: usize) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.places.push_back(Place {
            ticket,
            number,
            waiter: Arc::clone(waiter),
        });
        ticket
    }

    pub(super) fn leave(&mut self, ticket: u64) {
        if let Ok(at) = self
            .places
            .binary_search_by_key(&ticket, |place| place.ticket)
        {
            self.places.remove(at);
        }
    }

    /// Claims the first call that is free for it. The waker is to be woken when the queue's lock
    /// is released.
    pub(super) fn claim(&mut self) -> Option<Waker> {
        while let Some(place) = self.places.pop_front() {
            let mut state = lock(&place.waiter.state);
            match std::mem::replace(&mut *state, State::Claimed(place.number)) {
                State::Waiting(waker) => return Some(waker),
                taken => *state = taken,
            }
        }
        None
    }

    /// Gives back room that was only needed once.
    pub(super) fn shrink(&mut self) {
        if self.places.capacity() > 4 * self.places.len() + 32 {
            self.places.shrink_to(2 * self.places.len());
        }
    }
}

/// A blocked call's places in the lines of its queues; dropping it leaves them.
pub(super) struct Registration {
    waiter: Arc<Waiter>,
    places: Vec<(Arc<Queue>, u64)>,
}

impl Registration {
    /// Room for the task that polls this in `queues` lines.
    pub(super) async fn new(queues: usize) -> Self {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        Self {
            waiter: Arc::new(Waiter {
                state: Mutex::new(State::Waiting(waker)),
            }),
            places: Vec::with_capacity(queues),
        }
    }

    /// Takes a message out of `queue`, or a place in its line if there is none.
    pub(super) fn pop_or_join(
        &mut self,
        queue: Arc<Queue>,
        moment: &Moment,
        expired: &mut Vec<Pending>,
    ) -> Option<Received> {
        let joined = queue.pop_or_join(moment, expired, &self.waiter, self.places.len());
        joined
            .map_err(|ticket| self.places.push((queue, ticket)))
            .ok()
    }

    /// Waits until one of the queues has a message for this call, and says which.
    pub(super) async fn claimed(&self) -> usize {
        poll_fn(|context| match &mut *lock(&self.waiter.state) {
            State::Waiting(waker) => {
                waker.clone_from(context.waker());
                Poll::Pending
            }
            State::Claimed(number) => Poll::Ready(*number),
            State::Left => unreachable!("a call leaves when it is dropped"),
        })
        .await
    }

    /// Takes the message out of the queue that claimed this call; nothing if another call, that
    /// did not wait, was faster.
    pub(super) fn pop_claimed(
        mut self,
        number: usize,
        moment: &Moment,
        expired: &mut Vec<Pending>,
    ) -> Option<Received> {
        let received = self.places[number].0.pop(moment, expired)?;
        *lock(&self.waiter.state) = State::Left;
        // The place in that line went with the claim.
        self.places.swap_remove(number);
        Some(received)
    }
}

impl Drop for Registration {
    /// A call that was claimed and goes away without the message, because it was dropped or got a
    /// message elsewhere, passes the news on: otherwise that message would lie there although
    /// others wait for it.
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *lock(&self.waiter.state), State::Left);
        for (queue, ticket) in &self.places {
            queue.leave(*ticket);
        }
        if let State::Claimed(number) = state {
            self.places[number].0.pass_on();
        }
    }
}
