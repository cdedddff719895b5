use std::cell::Cell;
use std::sync::Arc;
use std::task::Waker;

use crate::message::Message;
use crate::name::ChannelName;
use crate::recipient::Recipient;

/// Those who are offered the messages of one queue as they come.
#[derive(Default)]
pub(super) struct Recipients {
    list: Vec<(u64, Arc<dyn Recipient>)>,
    next_number: u64,
}

thread_local! {
    /// The place in the list of the recipient that took the last message sent on this thread: the
    /// first to be asked for the next one, since recipients may be at home on a thread.
    static FIRST: Cell<usize> = const { Cell::new(0) };
}

impl Recipients {
    pub(super) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number is to [`remove`](Self::remove) it by.
    pub(super) fn add(&mut self, recipient: Arc<dyn Recipient>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.list.push((number, recipient));
        number
    }

    /// Gives the recipient back, to be dropped when the queue's lock is released.
    pub(super) fn remove(&mut self, number: u64) -> Option<Arc<dyn Recipient>> {
        let at = self.list.iter().position(|(known, _)| *known == number)?;
        Some(self.list.remove(at).1)
    }

    /// Offers a message to one after the other until one takes it.
    pub(super) fn offer(
        &self,
        channel: &ChannelName,
        mut message: Message,
    ) -> Result<Option<Waker>, Message> {
        let first = FIRST.get();
        for turn in 0..self.list.len() {
            let place = (first + turn) % self.list.len();
            match self.list[place].1.take(channel, message) {
                Ok(waker) => {
                    // One of one tells nothing about the others.
                    if self.list.len() > 1 {
                        FIRST.set(place);
                    }
                    return Ok(waker);
                }
                Err(back) => message = back,
            }
        }
        Err(message)
    }
}
