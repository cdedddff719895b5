//! Those who wait for the same channels.

use std::collections::VecDeque;
use std::sync::Arc;

use asgiref::{ChannelKind, ChannelName};
use tokio::time::Instant;

use crate::receive::bid::MAX_LIMIT;
use crate::receive::parcel::Ready;
use crate::ring::Ring;

use super::Answer;

/// The most messages that are taken for callers who have not asked for them yet, but surely will:
/// of a process-specific channel, and of channels that other processes read, too.
const MAX_AHEAD: usize = 64;
const MAX_SHARED_AHEAD: usize = 16;

/// The callers that wait for the same channels.
#[derive(Debug)]
pub(super) struct Class {
    /// Tells it from all others of this process.
    pub(super) number: u64,
    /// The channels at each server.
    pub(super) queues: Vec<Arc<[ChannelName]>>,
    pub(super) waiting: VecDeque<Answer<Ready>>,
    /// How many callers are spoken for by a request to a server.
    pub(super) claimed: usize,
    /// Whether the blocking read at each server listens for these channels.
    pub(super) covered: Vec<bool>,
    /// How many messages the bid at each server still takes, if there is one.
    pub(super) bids: Vec<Option<usize>>,
    /// How many messages to take beyond what was asked for.
    pub(super) ahead: usize,
    /// Until when nothing is.
    pub(super) none_ahead: Option<Instant>,
    /// The last caller gave up: nothing may be taken for it.
    pub(super) abandoned: bool,
}

impl Class {
    pub(super) fn new(number: u64, channels: &[ChannelName], ring: &Ring) -> Self {
        let mut queues = vec![Vec::new(); ring.len()];
        for channel in channels {
            let at: &mut [Vec<ChannelName>] = match ring.home(channel) {
                Some(home) => &mut queues[home..=home],
                None => &mut queues,
            };
            for list in at {
                if !list.contains(channel) {
                    list.push(channel.clone());
                }
            }
        }
        Self {
            number,
            covered: vec![false; queues.len()],
            bids: vec![None; queues.len()],
            queues: queues.into_iter().map(Arc::from).collect(),
            waiting: VecDeque::new(),
            claimed: 0,
            ahead: 0,
            none_ahead: None,
            abandoned: false,
        }
    }

    /// At how many servers the channels are.
    pub(super) fn places(&self) -> usize {
        places(&self.queues)
    }

    /// How many messages a bid takes: one for each caller; more of a channel that only this
    /// process reads, so that it need not be raised for each message.
    pub(super) fn bid_limit(&self) -> usize {
        if self.may_read_ahead() {
            MAX_LIMIT
        } else {
            self.waiting.len().min(MAX_LIMIT)
        }
    }

    /// How many messages may be taken beyond what was asked for, now.
    pub(super) fn most_ahead(&self) -> usize {
        if self.may_read_ahead() {
            return MAX_AHEAD;
        }
        let queues = || self.queues.iter().flat_map(|queues| queues.iter());
        let is_shared = queues().all(|queue| queue.kind() == ChannelKind::Normal);
        let is_allowed = self.none_ahead.is_none_or(|until| until <= Instant::now());
        if is_shared && is_allowed && self.places() == 1 {
            MAX_SHARED_AHEAD
        } else {
            0
        }
    }

    pub(super) fn should_raise(&self, shard: usize) -> bool {
        let limit = self.bid_limit();
        self.bids[shard].is_some_and(|bid| {
            if self.may_read_ahead() {
                2 * bid <= limit
            } else {
                bid < limit
            }
        })
    }

    /// Only a process reads its process-specific channels, and so takes nothing from others by
    /// reading ahead.
    pub(super) fn may_read_ahead(&self) -> bool {
        let mut queues = self.queues.iter().flat_map(|queues| queues.iter());
        let first = queues.next();
        first.is_some_and(|first| first.kind() == ChannelKind::ProcessSpecific)
            && queues.next().is_none()
    }
}

pub(super) fn places(queues: &[Arc<[ChannelName]>]) -> usize {
    queues.iter().filter(|queues| !queues.is_empty()).count()
}
