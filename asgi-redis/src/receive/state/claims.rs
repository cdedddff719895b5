//! Callers for whom messages are being fetched.

use std::collections::VecDeque;
use std::sync::Arc;

use asgiref::{ChannelKind, ChannelName};
use tokio::time::Instant;

use crate::receive::bid::Given;
use crate::receive::parcel::{Parcel, Ready};

use super::class::{Class, places};
use super::held::STALE;
use super::{Answer, State};

/// Callers for whom messages are being fetched.
#[derive(Debug)]
pub(in crate::receive) struct Claim {
    class: Arc<[ChannelName]>,
    callers: VecDeque<Answer<Ready>>,
    /// How many those were.
    count: usize,
    /// How many messages may be taken beyond that, and whether others may want those.
    ahead: usize,
    is_shared: bool,
}

/// How many messages to take.
#[derive(Clone, Copy, Debug)]
pub(in crate::receive) struct Wants {
    pub(in crate::receive) limit: usize,
    /// How many, if not twice as many as more are there.
    pub(in crate::receive) least: usize,
}

impl Wants {
    pub(in crate::receive) const ONE: Self = Self { limit: 1, least: 1 };
}

impl Claim {
    pub(in crate::receive) fn wants(&self) -> Wants {
        let limit = self.count + self.ahead;
        Wants {
            limit,
            least: if self.is_shared { self.count } else { limit },
        }
    }
}

impl State {
    /// Speaks for callers that wait for a set of channels, and leaves some to other servers.
    pub(in crate::receive) fn claim(
        &mut self,
        class: &Arc<[ChannelName]>,
        shards: usize,
    ) -> Option<Claim> {
        let Class {
            waiting,
            claimed,
            ahead,
            queues,
            ..
        } = self.classes.get_mut(class)?;
        waiting.retain(|answer| !answer.is_closed());
        let share = if places(queues) > 1 {
            waiting.len().div_ceil(shards)
        } else {
            waiting.len()
        };
        if share == 0 {
            return None;
        }
        *claimed += share;
        let (callers, ahead) = (waiting.drain(..share).collect(), *ahead);
        Some(Claim {
            class: Arc::clone(class),
            callers,
            count: share,
            ahead,
            is_shared: class[0].kind() == ChannelKind::Normal,
        })
    }

    /// Speaks for callers one of whom wants a message of `queue`.
    pub(in crate::receive) fn claim_for(
        &mut self,
        queue: &str,
        shard: usize,
        shards: usize,
    ) -> Option<Claim> {
        let class = self.classes.iter().find_map(|(name, class)| {
            let wanted = class.waiting.iter().any(|answer| !answer.is_closed());
            let listed = class.queues[shard].iter().any(|listed| listed == queue);
            (wanted && listed).then(|| Arc::clone(name))
        })?;
        self.claim(&class, shards)
    }

    /// The channels at a server that a claim is about.
    pub(in crate::receive) fn queues(&self, claim: &Claim, shard: usize) -> Arc<[ChannelName]> {
        match self.classes.get(&claim.class) {
            Some(class) => Arc::clone(&class.queues[shard]),
            None => Arc::default(),
        }
    }

    /// What there is for a claim, the oldest first: what somebody gave back meanwhile, what was
    /// given, what was taken.
    pub(in crate::receive) fn admit(
        &mut self,
        shard: usize,
        claim: &Claim,
        given: Vec<Given>,
        taken: Vec<Parcel>,
    ) -> Vec<Ready> {
        let Some(class) = self.classes.get(&claim.class) else {
            return taken.into_iter().map(Ready::Parcel).collect();
        };
        let number = class.number;
        let mut came = Vec::with_capacity(given.len() + taken.len());
        for queue in &*class.queues[shard] {
            came.extend(self.here.remove(queue).into_iter().flatten());
        }
        let returns = &mut self.desks[shard].returns;
        let queues = &class.queues[shard];
        let mut back: Vec<_> = returns
            .extract_if(.., |parcel| queues.contains(&parcel.queue))
            .collect();
        back.sort_by_key(|parcel| parcel.number);
        came.extend(back.into_iter().map(Ready::Parcel));
        for given in given {
            if given.class == number {
                came.push(Ready::Parcel(given.parcel));
            } else {
                self.give(shard, given);
            }
        }
        came.extend(taken.into_iter().map(Ready::Parcel));
        came
    }

    /// Hands out what came for a claim; returns whether callers are left who wait on.
    pub(in crate::receive) fn settle(
        &mut self,
        shard: usize,
        mut claim: Claim,
        came: Vec<Ready>,
        more: bool,
    ) -> bool {
        let filled = came.len() >= claim.callers.len();
        let surplus = came.len() > claim.callers.len();
        let mut rest = VecDeque::new();
        for mut ready in came {
            loop {
                let Some(caller) = claim.callers.pop_front() else {
                    rest.push_back(ready);
                    break;
                };
                match caller.send(Ok(ready)) {
                    Ok(()) => break,
                    Err(Ok(back)) => ready = back,
                    Err(Err(_)) => break,
                }
            }
        }
        let (mut left, mut keeps) = (false, false);
        if let Some(class) = self.classes.get_mut(&claim.class) {
            class.claimed -= claim.count.min(class.claimed);
            let most = class.most_ahead();
            class.ahead = match filled && more {
                true => (class.ahead * 2).max(1).min(most),
                false if surplus => class.ahead.min(most),
                false => 0,
            };
            keeps = most > 0 && !class.abandoned;
            while let Some(caller) = claim.callers.pop_back() {
                if !caller.is_closed() {
                    class.waiting.push_front(caller);
                    left = true;
                }
            }
        }
        for ready in rest {
            match self.offer(ready) {
                Some(ready) if keeps => {
                    self.keep_here(ready, false);
                    if claim.is_shared {
                        let stale_at = &mut self.desks[shard].stale_at;
                        stale_at.get_or_insert_with(|| Instant::now() + STALE);
                    }
                }
                Some(ready) => self.keep(ready, false),
                None => {}
            }
        }
        left
    }
}
