use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use asgiref::Message;
use tracing::warn;

use super::spool::{Spool, SpoolSpace, Spooled};

/// What waits for a connection: the replies to its current request, or to its WebSocket.
///
/// Filled by senders in this process or by the reader of all replies, who never wait for a client;
/// emptied by the connection's task. What exceeds the limits goes to disk, if there is space for it. Otherwise it
/// is dropped, and the connection told so: it gives the client up.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The request replies are taken for; counted from 1, none at 0.
    request: u64,
    messages: VecDeque<Message>,
    /// Bytes in `messages`, approximately.
    size: usize,
    /// What came after `messages`.
    spool: Option<Box<Spool>>,
    overflowed: bool,
    /// The connection's task, known from its first look on.
    waker: Option<Waker>,
    /// Whether the task waits for a message. A task that does not will look before it waits.
    waiting: bool,
}

/// How much a mailbox holds in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// How much a mailbox holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room<'a> {
    pub(crate) memory: Limits,
    /// Where what exceeds it goes.
    pub(crate) disk: Option<&'a Arc<SpoolSpace>>,
}

/// The mailbox was full: at least one message is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Accepted,
    /// The connection has gone on to another request, or waits for nothing.
    Stale,
    /// There was no room; the first such message since the mailbox was opened.
    Overflowed,
    /// There was no room, as before.
    Lost,
}

impl Mailbox {
    /// Begins to take messages for `request`, and forgets those for another.
    pub(crate) fn open(&self, request: u64) {
        let mut state = self.lock();
        state.request = request;
        state.clear();
    }

    /// Takes no more messages.
    pub(crate) fn close(&self) {
        self.open(0);
    }

    /// Puts a message in; the task is to be woken if there is one.
    pub(super) fn deliver(
        &self,
        request: u64,
        message: Message,
        room: Room<'_>,
    ) -> (Delivery, Option<Waker>) {
        let mut state = self.lock();
        if request == 0 || state.request != request {
            return (Delivery::Stale, None);
        }
        if state.overflowed {
            return (Delivery::Lost, None);
        }
        state.overflowed = !state.put(message, room);
        let delivery = if state.overflowed {
            Delivery::Overflowed
        } else {
            Delivery::Accepted
        };
        // A task that is kept from looking by a slow client must learn that it is in vain.
        let waker = if std::mem::take(&mut state.waiting) || state.overflowed {
            state.waker.clone()
        } else {
            None
        };
        (delivery, waker)
    }

    /// The next message, or that one was lost.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Result<Message, Overflow>> {
        let mut state = self.lock();
        if state.overflowed {
            return Poll::Ready(Err(Overflow));
        }
        if let Some(message) = state.take() {
            return Poll::Ready(message);
        }
        state.remember(context);
        state.waiting = true;
        Poll::Pending
    }

    /// Whether a message was lost.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// Remembers the task to be woken by [`wake`](Self::wake).
    pub(crate) fn attend(&self, context: &Context<'_>) {
        self.lock().remember(context);
    }

    /// Wakes the connection's task for another reason than a message.
    pub(crate) fn wake(&self) {
        let waker = self.lock().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn clear(&mut self) {
        self.messages.clear();
        // Room for a burst is given back.
        if self.messages.capacity() > 16 {
            self.messages = VecDeque::new();
        }
        self.size = 0;
        self.spool = None;
        self.overflowed = false;
    }

    /// Takes `message` if there is room for it.
    fn put(&mut self, message: Message, room: Room<'_>) -> bool {
        let size = message.payload_size();
        let limits = room.memory;
        // One message is always taken, whatever its size, so that a limit below the size of a
        // message does not make every connection fail.
        let fits = self.messages.is_empty()
            || (self.messages.len() < limits.messages && self.size + size <= limits.bytes);
        if fits && self.spool.as_ref().is_none_or(|spool| spool.is_empty()) {
            self.size += size;
            self.messages.push_back(message);
            return true;
        }
        room.disk.is_some_and(|space| {
            self.spool(space, &message).unwrap_or_else(|error| {
                warn!(%error, "cannot keep what a slow client has to wait for on disk");
                false
            })
        })
    }

    fn spool(&mut self, space: &Arc<SpoolSpace>, message: &Message) -> io::Result<bool> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(Box::new(Spool::new(Arc::clone(space))?)),
        };
        Ok(spool.push(message)? == Spooled::Accepted)
    }

    /// Takes the first message out.
    fn take(&mut self) -> Option<Result<Message, Overflow>> {
        if let Some(message) = self.messages.pop_front() {
            self.size -= message.payload_size();
            return Some(Ok(message));
        }
        let spool = self.spool.as_mut().filter(|spool| !spool.is_empty())?;
        Some(spool.pop().map_err(|error| {
            warn!(%error, "cannot read back what a slow client had to wait for");
            self.overflowed = true;
            Overflow
        }))
    }

    fn remember(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(known) => known.clone_from(context.waker()),
            None => self.waker = Some(context.waker().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use asgiref::message;

    use super::*;

    const ROOM: Room<'_> = Room {
        memory: Limits {
            messages: 2,
            bytes: 10,
        },
        disk: None,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn deliver(mailbox: &Mailbox, request: u64, message: Message, room: Room<'_>) -> Delivery {
        let (delivery, waker) = mailbox.deliver(request, message, room);
        if let Some(waker) = waker {
            waker.wake();
        }
        delivery
    }

    fn look(mailbox: &Mailbox) -> Poll<Result<Message, Overflow>> {
        mailbox.poll_next(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn messages_come_out_in_order() {
        let mailbox = Mailbox::default();
        mailbox.open(1);
        for number in [1, 2] {
            let delivery = deliver(&mailbox, 1, message! { "n" => number }, ROOM);
            assert_eq!(delivery, Delivery::Accepted);
        }
        assert_eq!(look(&mailbox), Poll::Ready(Ok(message! { "n" => 1 })));
        assert_eq!(look(&mailbox), Poll::Ready(Ok(message! { "n" => 2 })));
        assert_eq!(look(&mailbox), Poll::Pending);
    }

    #[test]
    fn replies_to_another_request_are_stale() {
        let mailbox = Mailbox::default();
        assert_eq!(deliver(&mailbox, 0, Message::new(), ROOM), Delivery::Stale);
        mailbox.open(2);
        assert_eq!(deliver(&mailbox, 1, Message::new(), ROOM), Delivery::Stale);
        mailbox.close();
        assert_eq!(deliver(&mailbox, 2, Message::new(), ROOM), Delivery::Stale);
        assert_eq!(deliver(&mailbox, 0, Message::new(), ROOM), Delivery::Stale);
    }

    #[test]
    fn the_limits_count_messages_and_bytes() {
        let mailbox = Mailbox::default();
        mailbox.open(1);
        for expected in [
            Delivery::Accepted,
            Delivery::Accepted,
            Delivery::Overflowed,
            Delivery::Lost,
        ] {
            assert_eq!(deliver(&mailbox, 1, Message::new(), ROOM), expected);
        }
        assert_eq!(look(&mailbox), Poll::Ready(Err(Overflow)));

        mailbox.open(2);
        let big = message! { "content" => b"0123456789" };
        assert_eq!(deliver(&mailbox, 2, big.clone(), ROOM), Delivery::Accepted);
        assert_eq!(deliver(&mailbox, 2, big, ROOM), Delivery::Overflowed);
    }

    #[test]
    fn one_message_of_any_size_is_taken() {
        let mailbox = Mailbox::default();
        mailbox.open(1);
        let big = message! { "content" => vec![0; 100] };
        assert_eq!(deliver(&mailbox, 1, big.clone(), ROOM), Delivery::Accepted);
        assert_eq!(look(&mailbox), Poll::Ready(Ok(big.clone())));
        assert_eq!(deliver(&mailbox, 1, big, ROOM), Delivery::Accepted);
    }

    #[test]
    fn what_exceeds_the_memory_goes_to_disk_and_comes_back_in_order() {
        let space = Arc::new(SpoolSpace::new(None, 1000, 1000));
        let room = Room {
            disk: Some(&space),
            ..ROOM
        };
        let mailbox = Mailbox::default();
        mailbox.open(1);
        let mut next = 0;
        for number in 0..20 {
            let message = message! { "n" => number };
            assert_eq!(deliver(&mailbox, 1, message, room), Delivery::Accepted);
            if number % 3 == 0 {
                assert_eq!(look(&mailbox), Poll::Ready(Ok(message! { "n" => next })));
                next += 1;
            }
        }
        for number in next..20 {
            assert_eq!(look(&mailbox), Poll::Ready(Ok(message! { "n" => number })));
        }
        assert_eq!(look(&mailbox), Poll::Pending);

        let big = message! { "content" => vec![0; 600] };
        for expected in [Delivery::Accepted, Delivery::Accepted, Delivery::Overflowed] {
            assert_eq!(deliver(&mailbox, 1, big.clone(), room), expected);
        }
    }

    #[test]
    fn a_task_is_woken_once_until_it_looks_again() {
        let mailbox = Mailbox::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        mailbox.open(1);
        assert!(mailbox.poll_next(&Context::from_waker(&waker)).is_pending());
        deliver(&mailbox, 1, Message::new(), ROOM);
        deliver(&mailbox, 1, Message::new(), ROOM);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_task_is_woken_by_an_overflow_whether_it_waits_or_not() {
        let mailbox = Mailbox::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        mailbox.open(1);
        mailbox.attend(&Context::from_waker(&waker));
        for expected in [0, 0, 1, 1] {
            deliver(&mailbox, 1, Message::new(), ROOM);
            assert_eq!(count.0.load(Ordering::Relaxed), expected);
        }
        assert!(mailbox.has_overflowed());
    }
}
