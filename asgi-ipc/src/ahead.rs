//! Messages that were taken ahead: off a process-specific channel, several under one lock.
//!
//! Nobody else reads such a channel, so it makes no difference to others whether its messages
//! wait in the segment or here. They are handed out in their order, and not any more when they
//! have expired or everything was flushed meanwhile.

use std::collections::VecDeque;

use crate::clock::Time;
use crate::store::{Popped, Source, Store};

/// Messages of one channel: programs read one process-specific channel as a rule.
#[derive(Default)]
pub(crate) struct Ahead {
    /// The channel's name, up to the `!`.
    channel: String,
    messages: VecDeque<Popped>,
    source: Option<Source>,
}

impl Ahead {
    /// Whether messages of the channel may be taken: those of another are not kept at the same
    /// time.
    pub(crate) fn has_room_for(&self, channel: &str) -> bool {
        self.messages.is_empty() || self.channel == channel
    }

    /// Whether there are messages, which may have expired, of this channel.
    pub(crate) fn is_of(&self, channel: &str) -> bool {
        !self.messages.is_empty() && self.channel == channel
    }

    /// Keeps messages that were taken while there were no others.
    pub(crate) fn keep(&mut self, channel: &str, source: Source, messages: VecDeque<Popped>) {
        channel.clone_into(&mut self.channel);
        self.source = Some(source);
        self.messages = messages;
    }

    /// The next message; those that expired before it go to `expired`.
    pub(crate) fn next(&mut self, store: &Store, expired: &mut Vec<Popped>) -> Option<Popped> {
        let source = self.source.filter(|source| store.is_current(*source));
        let Some(source) = source else {
            self.messages.clear();
            return None;
        };
        let now = Time::now();
        while let Some(popped) = self.messages.pop_front() {
            store.note_ahead(source, self.messages.front(), self.messages.len());
            if popped.expires > now {
                return Some(popped);
            }
            expired.push(popped);
        }
        None
    }
}
