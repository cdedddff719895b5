//! Messages on the short way from a sender in this process to a receiver.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use asgiref::{ChannelName, Message};

/// How many messages may lie at a seat: no more than one task sends before others get their turn.
const ROOM: usize = 32;

/// Where a receiver that listens takes what is handed to it.
///
/// Each thread of the runtime hands messages to one seat, whose receiver it wakes and then runs
/// itself. So a message is consumed, and its reply on the way, where its data is in the
/// processor's cache already.
#[derive(Default)]
pub(super) struct Seat {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: VecDeque<(ChannelName, Message)>,
    /// A receiver listens, and is not in the middle of a consumer.
    is_free: bool,
    /// A message was not accepted: it lies in the layer now.
    has_refused: bool,
    /// The receiver's task, if it sleeps.
    waker: Option<Waker>,
}

impl Seat {
    /// Hands a message to the receiver if it is free; its task is to be woken if there is a waker.
    pub(super) fn offer(
        &self,
        channel: &ChannelName,
        message: Message,
    ) -> Result<Option<Waker>, Message> {
        let mut state = self.lock();
        if !state.is_free || state.messages.len() >= ROOM {
            state.has_refused = true;
            return Err(message);
        }
        state.messages.push_back((channel.clone(), message));
        Ok(state.waker.take())
    }

    /// The next message for the receiver, who is busy with it until it asks again.
    pub(super) fn poll_next(&self, context: &Context<'_>) -> Poll<(ChannelName, Message)> {
        let mut state = self.lock();
        if let Some(message) = state.messages.pop_front() {
            state.is_free = false;
            return Poll::Ready(message);
        }
        state.is_free = true;
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Accepts no messages until the receiver, or another one, asks for the next.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_free = false;
        state.waker = None;
    }

    /// Whether a message was refused since this was asked last.
    pub(super) fn take_refusal(&self) -> bool {
        std::mem::take(&mut self.lock().has_refused)
    }

    /// Closes the seat and gives back what lies there.
    pub(super) fn clear(&self) -> VecDeque<(ChannelName, Message)> {
        self.close();
        std::mem::take(&mut self.lock().messages)
    }

    /// Puts back, as they were, messages that [`clear`](Self::clear) gave.
    pub(super) fn restore(
        &self,
        messages: impl DoubleEndedIterator<Item = (ChannelName, Message)>,
    ) {
        let mut state = self.lock();
        for message in messages.rev() {
            state.messages.push_front(message);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use asgiref::message;

    use super::*;

    fn offer(seat: &Seat, number: i64) -> bool {
        let channel = ChannelName::new("work").unwrap();
        seat.offer(&channel, message! { "n" => number }).is_ok()
    }

    fn next(seat: &Seat) -> Option<i64> {
        match seat.poll_next(&Context::from_waker(Waker::noop())) {
            Poll::Ready((_, message)) => Some(message.int("n").unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn only_a_receiver_that_waits_is_handed_messages() {
        let seat = Seat::default();
        assert!(!offer(&seat, 0), "nobody is there");
        assert_eq!(next(&seat), None);
        assert!(offer(&seat, 1) && offer(&seat, 2));
        assert_eq!(next(&seat), Some(1));
        assert!(!offer(&seat, 3), "it is busy with the first");
        assert_eq!(next(&seat), Some(2));
        assert_eq!(next(&seat), None);
        assert!(offer(&seat, 4));
        seat.close();
        assert!(!offer(&seat, 5));
        assert_eq!(seat.clear().len(), 1);
    }

    #[test]
    fn the_receiver_is_woken_once_and_the_room_is_limited() {
        let seat = Seat::default();
        assert_eq!(next(&seat), None);
        let channel = ChannelName::new("work").unwrap();
        assert!(seat.offer(&channel, Message::new()).unwrap().is_some());
        for _ in 1..ROOM {
            assert!(seat.offer(&channel, Message::new()).unwrap().is_none());
        }
        assert!(seat.offer(&channel, Message::new()).is_err());
    }
}
