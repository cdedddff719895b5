//! What the model layer remembers, and the rules for messages it keeps or breaks.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asgiref::{ChannelKind, ChannelName, Error, Message, Result};
use tokio::time::Instant;

use super::distort::obey_reserved_key;
use super::fault::Fault;
use super::members::Members;
use super::model::{CAPACITY, EXPIRY};

pub(crate) struct State {
    pub(crate) fault: Fault,
    pub(crate) queues: HashMap<String, Queue>,
    pub(crate) figures: HashMap<String, Figures>,
    pub(crate) groups: HashMap<String, Members>,
    /// Blocking receives that are handed messages, under two of the faults.
    pub(crate) waiting: Vec<Waiting>,
    /// No message or membership is over before this.
    next_purge: Option<Instant>,
    sends: u64,
    latest: Message,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) messages: VecDeque<Pending>,
    /// How many messages expired since anybody received.
    expired: usize,
    /// How many places are taken, for the faults that do not count messages.
    taken: usize,
}

#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) channel: ChannelName,
    pub(crate) message: Message,
    pub(crate) sent: Instant,
    expires: Instant,
    through_group: bool,
    copies: usize,
}

#[derive(Clone, Default)]
pub(crate) struct Figures {
    pub(crate) refused: u64,
    pub(crate) expired: u64,
    /// When each accepted message was.
    pub(crate) accepted: Vec<Instant>,
}

pub(crate) struct Waiting {
    pub(crate) keys: Vec<String>,
    pub(crate) slot: Slot,
}

pub(crate) type Slot = Arc<Mutex<Option<(ChannelName, Message)>>>;

impl State {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            queues: HashMap::new(),
            figures: HashMap::new(),
            groups: HashMap::new(),
            waiting: Vec::new(),
            next_purge: None,
            sends: 0,
            latest: Message::new(),
        }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// What tells channels apart.
    pub(crate) fn key(&self, client: usize, channel: &ChannelName) -> String {
        let name = channel.non_local();
        match self.fault {
            Fault::ClientsApart => format!("{client} {name}"),
            Fault::MixesKinds => name.split(['?', '!']).next().unwrap_or(name).to_owned(),
            Fault::IgnoresCase => name.to_lowercase(),
            _ => name.to_owned(),
        }
    }

    /// What tells channels apart in statistics.
    pub(crate) fn figures_key(&self, channel: &ChannelName) -> String {
        if self.has(Fault::FiguresOfFullName) {
            channel.to_string()
        } else {
            channel.non_local().to_owned()
        }
    }

    // ---- Messages

    /// Sends a message as one that finds, or found, room or none.
    pub(crate) fn push(
        &mut self,
        client: usize,
        channel: ChannelName,
        message: Message,
        has_room: bool,
    ) -> Result<()> {
        self.send(client, channel, message, has_room, false)
    }

    /// Sends a message to a member of a group.
    pub(crate) fn push_to_member(
        &mut self,
        client: usize,
        channel: ChannelName,
        message: Message,
    ) -> Result<()> {
        let room = self.room(client, &channel);
        let has_room = room > 0 || self.has(Fault::GroupsIgnoreCapacity);
        self.send(client, channel, message, has_room, true)
    }

    fn send(
        &mut self,
        client: usize,
        channel: ChannelName,
        message: Message,
        has_room: bool,
        through_group: bool,
    ) -> Result<()> {
        self.check_name(client, &channel)?;
        let (channel, message) = if self.has(Fault::ObeysReservedKey) {
            obey_reserved_key(channel, message)
        } else {
            (channel, message)
        };
        if !has_room {
            if self.has(Fault::DeliversRefused) {
                self.store(client, channel.clone(), message, through_group);
            }
            return Err(self.refuse(channel, through_group));
        }
        let figures = self.figures_key(&channel);
        let figures = self.figures.entry(figures).or_default();
        figures.accepted.push(Instant::now());
        self.sends += 1;
        let lost = self.has(Fault::DropsOneInAThousand) && self.sends.is_multiple_of(1_000)
            || self.has(Fault::DropsEmptyMessages) && message.is_empty();
        if !lost {
            self.store(client, channel, message, through_group);
        }
        Ok(())
    }

    fn store(
        &mut self,
        client: usize,
        channel: ChannelName,
        message: Message,
        through_group: bool,
    ) {
        let now = Instant::now();
        self.note_use(&channel, now);
        self.latest = message.clone();
        let key = self.key(client, &channel);
        let waits = |waiting: &Waiting| waiting.keys.contains(&key);
        if let Some(at) = self.waiting.iter().position(waits) {
            *self.waiting.remove(at).slot.lock().unwrap() = Some((channel, message));
            return;
        }
        let expires = now + self.expiry(&channel, through_group);
        self.purge_at(expires);
        let ahead = match self.fault {
            Fault::NewestFirst => true,
            Fault::SometimesOvertakes => self.sends.is_multiple_of(40),
            Fault::GroupsOvertake => through_group,
            Fault::AnyOrder => channel.kind() == ChannelKind::Normal && self.sends % 3 == 1,
            _ => false,
        };
        let pending = Pending {
            channel,
            message,
            sent: now,
            expires,
            through_group,
            copies: if self.has(Fault::DeliversTwice) { 2 } else { 1 },
        };
        let prolong = self.has(Fault::NewerKeepsOlder);
        let queue = self.queues.entry(key).or_default();
        queue.taken += 1;
        if prolong {
            for older in &mut queue.messages {
                older.expires = expires;
            }
        }
        if ahead {
            queue.messages.push_front(pending);
        } else {
            queue.messages.push_back(pending);
        }
    }

    pub(crate) fn pop(&mut self, key: &str) -> Option<(ChannelName, Message)> {
        self.purge();
        let used_up = self.has(Fault::CapacityUsedUp);
        let queue = self.queues.get_mut(key)?;
        queue.expired = 0;
        let pending = queue.messages.front_mut()?;
        pending.copies -= 1;
        let received = if pending.copies == 0 {
            queue.taken -= usize::from(!used_up);
            queue.messages.pop_front()?
        } else {
            pending.clone()
        };
        let channel = if self.has(Fault::LosesLocalPart) {
            received.channel.to_non_local()
        } else {
            received.channel
        };
        let message = if self.has(Fault::SharesOneBuffer) {
            self.latest.clone()
        } else {
            received.message
        };
        Some((channel, message))
    }

    /// The next message, left where it is.
    pub(crate) fn peek(&mut self, key: &str) -> Option<(ChannelName, Message)> {
        self.purge();
        let pending = self.queues.get(key)?.messages.front()?;
        Some((pending.channel.clone(), pending.message.clone()))
    }

    fn check_name(&self, client: usize, channel: &ChannelName) -> Result<()> {
        let name = channel.as_str();
        let allowed = match self.fault {
            Fault::ShortNames => name.len() < 100,
            Fault::QuiteLongNames => name.len() <= 150,
            Fault::ReservesNames => !name.starts_with("amq."),
            Fault::NeedsLocalPart => channel.local_part() != Some(""),
            Fault::FewChannels => {
                self.queues.len() < 500 || self.queues.contains_key(&self.key(client, channel))
            }
            _ => true,
        };
        if allowed {
            Ok(())
        } else {
            Err(Error::backend("model", format!("`{name}` is not allowed")))
        }
    }

    // ---- Capacity

    /// How many messages the channel takes now.
    pub(crate) fn room(&mut self, client: usize, channel: &ChannelName) -> usize {
        self.purge();
        let key = self.key(client, channel);
        let Some(queue) = self.queues.get(&key) else {
            return CAPACITY;
        };
        let messages = &queue.messages;
        let taken = match self.fault {
            Fault::NoCapacity | Fault::BareBones => 0,
            Fault::CapacityOfFullName => {
                messages.iter().filter(|it| it.channel == *channel).count()
            }
            Fault::CapacityOfLayer => self.queues.values().map(|queue| queue.messages.len()).sum(),
            Fault::CapacityUsedUp | Fault::FlushKeepsCapacity => queue.taken,
            Fault::ExpiredTakeRoom => messages.len() + queue.expired,
            _ => messages.len(),
        };
        CAPACITY.saturating_sub(taken)
    }

    fn refuse(&mut self, channel: ChannelName, through_group: bool) -> Error {
        let uncounted = self.has(Fault::FullNotCounted)
            || self.has(Fault::FullNotCountedInGroups) && through_group;
        let figures = self.figures_key(&channel);
        self.figures.entry(figures).or_default().refused += u64::from(!uncounted);
        let channel = if self.has(Fault::FullNamesLocalPart) {
            channel
        } else {
            channel.to_non_local()
        };
        Error::ChannelFull { channel }
    }

    // ---- Expiry

    fn expiry(&self, channel: &ChannelName, through_group: bool) -> Duration {
        const NEVER: Duration = Duration::from_secs(1_000_000);
        let normal = channel.kind() == ChannelKind::Normal;
        match self.fault {
            Fault::NoExpiry => NEVER,
            Fault::NoExpiryInGroups if through_group => NEVER,
            Fault::NoExpiryOfReplies if !normal && !through_group => NEVER,
            Fault::ExpiresEarly => EXPIRY / 4,
            _ => EXPIRY,
        }
    }

    /// Says that something is over at `at`.
    pub(crate) fn purge_at(&mut self, at: Instant) {
        self.next_purge = Some(self.next_purge.map_or(at, |known| known.min(at)));
    }

    /// Removes what is over.
    pub(crate) fn purge(&mut self) {
        let now = Instant::now();
        if self.next_purge.is_none_or(|at| now < at) {
            return;
        }
        let mut expired = Vec::new();
        let mut next = None;
        for queue in self.queues.values_mut() {
            let before = queue.messages.len();
            queue.messages.retain(|pending| {
                if pending.expires <= now {
                    expired.push((pending.channel.clone(), pending.expires));
                    return false;
                }
                next = Some(next.map_or(pending.expires, |at: Instant| at.min(pending.expires)));
                true
            });
            let gone = before - queue.messages.len();
            queue.expired += gone;
            queue.taken -= gone;
        }
        self.next_purge = next;
        for (channel, at) in expired {
            let figures = self.figures_key(&channel);
            self.figures.entry(figures).or_default().expired += 1;
            self.evict(&channel, at);
        }
        self.end_memberships(now);
    }

    // ---- Flush

    pub(crate) fn flush(&mut self) {
        let keeps_room = self.has(Fault::FlushKeepsCapacity);
        for queue in self.queues.values_mut() {
            match self.fault {
                Fault::FlushKeepsMessages => {}
                Fault::FlushKeepsGroupMessages => queue.messages.retain(|it| it.through_group),
                _ => queue.messages.clear(),
            }
            if !keeps_room {
                queue.taken = queue.messages.len();
            }
        }
        if !self.has(Fault::FlushKeepsGroups) {
            self.groups.clear();
        }
    }
}
