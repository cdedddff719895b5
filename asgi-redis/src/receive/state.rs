//! Who waits for what, and what is already here. Everything in this file happens under one lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelKind, ChannelName};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::ring::Ring;

use super::bid::{Bid, Given, MAX_BIDS, MAX_LIMIT};
use super::parcel::{Parcel, Ready};

/// The most messages that are taken for callers who have not asked for them yet, but surely will:
/// of a process-specific channel, and of channels that other processes read, too.
const MAX_AHEAD: usize = 64;
const MAX_SHARED_AHEAD: usize = 16;

/// After how long such messages of channels that others read go back, if nobody asked for them.
const STALE: Duration = Duration::from_millis(50);

/// For how long then no more is taken than was asked for.
const NONE_AHEAD: Duration = Duration::from_secs(10);

/// How many sets of channels that nobody waits on at the moment are remembered.
const MAX_IDLE_CLASSES: usize = 32;

pub(super) type Answer<T> = oneshot::Sender<Result<T>>;

#[derive(Debug)]
pub(super) struct State {
    classes: HashMap<Arc<[ChannelName]>, Class>,
    /// How many sets of channels there were so far.
    class_count: u64,
    /// What was taken off servers and waits for callers, by queue.
    here: HashMap<ChannelName, VecDeque<Ready>>,
    pub(super) desks: Vec<DeskState>,
    pub(super) closed: bool,
}

/// What there is to do at one server.
#[derive(Debug, Default)]
pub(super) struct DeskState {
    pub(super) looks: VecDeque<Look>,
    /// Messages to be put back.
    pub(super) returns: Vec<Parcel>,
    /// Whether the server cannot be reached.
    pub(super) down: bool,
    /// Whether a task works here.
    pub(super) running: bool,
    /// Whether nobody waits, and the task for somebody who does.
    pub(super) at_rest: bool,
    /// Whether messages are on their way back to the server.
    pub(super) putting_back: bool,
    /// When to look for messages that go back because nobody asked for them.
    pub(super) stale_at: Option<Instant>,
    /// The mark that was found on the server.
    pub(super) data: Option<Bytes>,
}

/// A caller that does not wait.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) queues: Vec<ChannelName>,
    pub(super) answer: Answer<Option<Ready>>,
}

/// The callers that wait for the same channels.
#[derive(Debug)]
struct Class {
    /// Tells it from all others of this process.
    number: u64,
    /// The channels at each server.
    queues: Vec<Arc<[ChannelName]>>,
    waiting: VecDeque<Answer<Ready>>,
    /// How many callers are spoken for by a request to a server.
    claimed: usize,
    /// Whether the blocking read at each server listens for these channels.
    covered: Vec<bool>,
    /// How many messages the bid at each server still takes, if there is one.
    bids: Vec<Option<usize>>,
    /// How many messages to take beyond what was asked for.
    ahead: usize,
    /// Until when nothing is.
    none_ahead: Option<Instant>,
    /// The last caller gave up: nothing may be taken for it.
    abandoned: bool,
}

/// A set of channels somebody waits on.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) class: Arc<[ChannelName]>,
    /// Those at the server asked about.
    pub(super) queues: Arc<[ChannelName]>,
}

/// Callers for whom messages are being fetched.
#[derive(Debug)]
pub(super) struct Claim {
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
pub(super) struct Wants {
    pub(super) limit: usize,
    /// How many, if not twice as many as more are there.
    pub(super) least: usize,
}

impl Wants {
    pub(super) const ONE: Self = Self { limit: 1, least: 1 };
}

impl Claim {
    pub(super) fn wants(&self) -> Wants {
        let limit = self.count + self.ahead;
        Wants {
            limit,
            least: if self.is_shared { self.count } else { limit },
        }
    }
}

impl State {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            classes: HashMap::new(),
            class_count: 0,
            here: HashMap::new(),
            desks: std::iter::repeat_with(DeskState::default)
                .take(shards)
                .collect(),
            closed: false,
        }
    }

    /// A message for any of `channels` that is in this process already.
    pub(super) fn take_here(&mut self, channels: &[ChannelName]) -> Option<Ready> {
        if self.here.is_empty() {
            return None;
        }
        let now = Instant::now();
        for channel in channels {
            let Some(waiting) = self.here.get_mut(channel) else {
                continue;
            };
            let found = loop {
                match waiting.pop_front() {
                    Some(ready) if ready.is_expired(now) => {}
                    found => break found,
                }
            };
            if waiting.is_empty() {
                self.here.remove(channel);
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Registers a caller; returns the servers whose desk must be told.
    pub(super) fn join(
        &mut self,
        channels: &[ChannelName],
        ring: &Ring,
        answer: Answer<Ready>,
    ) -> Vec<usize> {
        if !self.classes.contains_key(channels) {
            self.forget_idle_classes();
            self.class_count += 1;
            let class = Class::new(self.class_count, channels, ring);
            self.classes.insert(channels.into(), class);
        }
        let Some(class) = self.classes.get_mut(channels) else {
            return Vec::new();
        };
        class.waiting.push_back(answer);
        class.abandoned = false;
        (0..class.queues.len())
            .filter(|shard| !class.queues[*shard].is_empty())
            .filter(|shard| !class.covered[*shard] || class.should_raise(*shard))
            .collect()
    }

    /// A caller has given up; returns the servers whose desk must be told.
    pub(super) fn leave(&mut self, channels: &[ChannelName]) -> Vec<usize> {
        let Some(class) = self.classes.get_mut(channels) else {
            return Vec::new();
        };
        class.waiting.retain(|answer| !answer.is_closed());
        class.abandoned = class.waiting.is_empty();
        if !class.abandoned {
            return Vec::new();
        }
        let covered = (0..class.covered.len()).filter(|shard| class.covered[*shard]);
        covered.collect()
    }

    /// What is waited for at a server.
    pub(super) fn demand(&mut self, shard: usize) -> Vec<Demand> {
        self.classes
            .iter_mut()
            .filter(|(_, class)| !class.queues[shard].is_empty())
            .filter_map(|(name, class)| {
                class.waiting.retain(|answer| !answer.is_closed());
                (!class.waiting.is_empty()).then(|| Demand {
                    class: Arc::clone(name),
                    queues: Arc::clone(&class.queues[shard]),
                })
            })
            .collect()
    }

    /// Notes which sets of channels the blocking read at a server listens for.
    pub(super) fn cover(&mut self, shard: usize, demand: &[Demand]) {
        for class in self.classes.values_mut() {
            class.covered[shard] = false;
        }
        for demand in demand {
            if let Some(class) = self.classes.get_mut(&demand.class) {
                class.covered[shard] = true;
            }
        }
    }

    /// Whether there is a blocking read at a server.
    pub(super) fn is_reading(&self, shard: usize) -> bool {
        self.classes.values().any(|class| class.covered[shard])
    }

    /// Whether the blocking read at a server listens for what it should: for all that is waited
    /// for, and nothing that was given up.
    pub(super) fn is_covered(&self, shard: usize) -> bool {
        self.classes.values().all(|class| {
            if class.covered[shard] {
                !class.abandoned
            } else {
                class.waiting.is_empty() || class.queues[shard].is_empty()
            }
        })
    }

    /// Bids at a server for those of the sets of channels that are all at that server: no other
    /// one may serve the same callers.
    pub(super) fn bid(&mut self, shard: usize, demand: &[Demand]) -> Vec<Bid> {
        let mut bids = Vec::new();
        for demand in demand.iter().take(MAX_BIDS) {
            let Some(class) = self.classes.get_mut(&demand.class) else {
                continue;
            };
            if class.places() > 1 {
                continue;
            }
            let limit = class.bid_limit();
            class.bids[shard] = Some(limit);
            bids.push(Bid {
                class: class.number,
                limit,
                queues: Arc::clone(&demand.queues),
            });
        }
        bids
    }

    /// The bids at a server that should take more, and by how much.
    pub(super) fn raise_bids(&mut self, shard: usize) -> Vec<(u64, usize)> {
        let mut raised = Vec::new();
        for class in self.classes.values_mut() {
            if class.should_raise(shard)
                && let limit = class.bid_limit()
                && let Some(bid) = &mut class.bids[shard]
            {
                raised.push((class.number, limit - *bid));
                *bid = limit;
            }
        }
        raised
    }

    /// Notes that there are no bids at a server any more.
    pub(super) fn withdrawn(&mut self, shard: usize) {
        for class in self.classes.values_mut() {
            class.bids[shard] = None;
        }
    }

    /// Hands out a message that was given to this process. If nobody waits any more, it is put
    /// back, or kept if only this process may read its channel.
    pub(super) fn give(&mut self, shard: usize, Given { class, parcel }: Given) {
        let mut may_keep = false;
        if let Some(class) = self
            .classes
            .values_mut()
            .find(|known| known.number == class)
        {
            if let Some(bid) = &mut class.bids[shard] {
                *bid = bid.saturating_sub(1);
            }
            may_keep = class.may_read_ahead() && !class.abandoned;
        }
        match self.offer(Ready::Parcel(parcel)) {
            Some(ready) if may_keep => self.keep_here(ready, false),
            Some(Ready::Parcel(parcel)) => self.desks[shard].returns.push(parcel),
            Some(Ready::Opened { .. }) | None => {}
        }
    }

    /// What there is for a claim, the oldest first: what somebody gave back meanwhile, what was
    /// given, what was taken.
    pub(super) fn admit(
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

    /// Speaks for callers that wait for a set of channels, and leaves some to other servers.
    pub(super) fn claim(&mut self, class: &Arc<[ChannelName]>, shards: usize) -> Option<Claim> {
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
    pub(super) fn claim_for(&mut self, queue: &str, shard: usize, shards: usize) -> Option<Claim> {
        let class = self.classes.iter().find_map(|(name, class)| {
            let wanted = class.waiting.iter().any(|answer| !answer.is_closed());
            let listed = class.queues[shard].iter().any(|listed| listed == queue);
            (wanted && listed).then(|| Arc::clone(name))
        })?;
        self.claim(&class, shards)
    }

    /// The channels at a server that a claim is about.
    pub(super) fn queues(&self, claim: &Claim, shard: usize) -> Arc<[ChannelName]> {
        match self.classes.get(&claim.class) {
            Some(class) => Arc::clone(&class.queues[shard]),
            None => Arc::default(),
        }
    }

    /// Hands out what came for a claim; returns whether callers are left who wait on.
    pub(super) fn settle(
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

    /// Finds a caller for a message, or keeps it if its channel belongs to this process, or has
    /// it put back. A message that somebody had already comes before all others.
    pub(super) fn keep(&mut self, ready: Ready, first: bool) {
        let Some(ready) = self.offer(ready) else {
            return;
        };
        match ready {
            Ready::Parcel(parcel) if !self.reads_ahead(&parcel.queue) => {
                self.desks[parcel.shard].returns.push(parcel);
            }
            ready => self.keep_here(ready, first),
        }
    }

    /// Puts the messages of an envelope before all others of their queue.
    pub(super) fn keep_first(&mut self, queue: &ChannelName, opened: Vec<Ready>) {
        let here = self.here.entry(queue.clone()).or_default();
        for ready in opened.into_iter().rev() {
            here.push_front(ready);
        }
        // Others who wait for this queue get what is here now.
        while let Some(ready) = self.take_here(std::slice::from_ref(queue)) {
            if let Some(ready) = self.offer(ready) {
                self.here
                    .entry(queue.clone())
                    .or_default()
                    .push_front(ready);
                break;
            }
        }
    }

    /// What is to be put back on a server.
    pub(super) fn take_returns(&mut self, shard: usize) -> Vec<Parcel> {
        let desk = &mut self.desks[shard];
        let returns = std::mem::take(&mut desk.returns);
        desk.at_rest = false;
        desk.putting_back = !returns.is_empty();
        returns
    }

    /// Has messages put back that were taken off a channel that others read, for callers who did
    /// not come.
    pub(super) fn return_stale(&mut self, shard: usize, now: Instant) {
        let desk = &mut self.desks[shard];
        desk.stale_at = None;
        for (queue, waiting) in &mut self.here {
            if queue.kind() != ChannelKind::Normal {
                continue;
            }
            let before = desk.returns.len();
            waiting.retain(|ready| match ready {
                Ready::Parcel(parcel) if parcel.shard == shard => {
                    if parcel.taken + STALE <= now {
                        desk.returns.push(parcel.clone());
                        return false;
                    }
                    let at = desk.stale_at.get_or_insert(parcel.taken + STALE);
                    *at = (*at).min(parcel.taken + STALE);
                    true
                }
                _ => true,
            });
            if desk.returns.len() == before {
                continue;
            }
            for (channels, class) in &mut self.classes {
                if channels.contains(queue) {
                    class.ahead = 0;
                    class.none_ahead = Some(now + NONE_AHEAD);
                }
            }
        }
        self.here.retain(|_, waiting| !waiting.is_empty());
    }

    /// Takes all out that is kept here and can be put back.
    pub(super) fn drain_here(&mut self) {
        for (_, waiting) in self.here.drain() {
            for ready in waiting {
                if let Ready::Parcel(parcel) = ready {
                    self.desks[parcel.shard].returns.push(parcel);
                }
            }
        }
    }

    /// Forgets what is kept here, and what is known of the servers' data.
    pub(super) fn forget(&mut self) {
        self.here.clear();
        self.desks.iter_mut().for_each(|desk| desk.data = None);
    }

    /// Fails the callers at a server that cannot be reached, unless another server may serve
    /// them.
    pub(super) fn fail(&mut self, shard: usize, error: &Error) {
        self.desks[shard].down = true;
        for look in self.desks[shard].looks.drain(..) {
            let _ = look.answer.send(Err(error.clone()));
        }
        for class in self.classes.values_mut() {
            let concerned = !class.queues[shard].is_empty();
            let hopeless = class
                .queues
                .iter()
                .zip(&self.desks)
                .all(|(queues, desk)| queues.is_empty() || desk.down);
            if concerned && hopeless {
                for answer in class.waiting.drain(..) {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// The message, if no caller waits for it.
    fn offer(&mut self, mut ready: Ready) -> Option<Ready> {
        for (channels, class) in &mut self.classes {
            if !channels.iter().any(|channel| channel == ready.queue()) {
                continue;
            }
            while let Some(answer) = class.waiting.pop_front() {
                match answer.send(Ok(ready)) {
                    Ok(()) => return None,
                    Err(Ok(back)) => ready = back,
                    Err(Err(_)) => return None,
                }
            }
        }
        Some(ready)
    }

    fn reads_ahead(&self, queue: &ChannelName) -> bool {
        let class = self.classes.get(std::slice::from_ref(queue));
        class.is_some_and(|class| class.ahead > 0)
    }

    fn keep_here(&mut self, ready: Ready, first: bool) {
        let queue = match &ready {
            Ready::Parcel(parcel) => parcel.queue.clone(),
            Ready::Opened { channel, .. } => channel.to_non_local(),
        };
        let here = self.here.entry(queue).or_default();
        if first {
            here.push_front(ready);
        } else {
            here.push_back(ready);
        }
    }

    /// The task at a server is gone with its runtime: callers are told, by dropping what they
    /// wait for, so that they start another.
    pub(super) fn abandon(&mut self, shard: usize) {
        let desk = &mut self.desks[shard];
        desk.running = false;
        desk.looks.clear();
        for class in self.classes.values_mut() {
            class.covered[shard] = false;
            if !class.queues[shard].is_empty() {
                class.waiting.clear();
            }
        }
    }

    fn forget_idle_classes(&mut self) {
        if self.classes.len() < MAX_IDLE_CLASSES {
            return;
        }
        self.classes.retain(|_, class| {
            !class.waiting.is_empty() || class.claimed > 0 || class.covered.contains(&true)
        });
    }
}

impl Class {
    fn new(number: u64, channels: &[ChannelName], ring: &Ring) -> Self {
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
    fn places(&self) -> usize {
        places(&self.queues)
    }

    /// How many messages a bid takes: one for each caller; more of a channel that only this
    /// process reads, so that it need not be raised for each message.
    fn bid_limit(&self) -> usize {
        if self.may_read_ahead() {
            MAX_LIMIT
        } else {
            self.waiting.len().min(MAX_LIMIT)
        }
    }

    /// How many messages may be taken beyond what was asked for, now.
    fn most_ahead(&self) -> usize {
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

    fn should_raise(&self, shard: usize) -> bool {
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
    fn may_read_ahead(&self) -> bool {
        let mut queues = self.queues.iter().flat_map(|queues| queues.iter());
        let first = queues.next();
        first.is_some_and(|first| first.kind() == ChannelKind::ProcessSpecific)
            && queues.next().is_none()
    }
}

fn places(queues: &[Arc<[ChannelName]>]) -> usize {
    queues.iter().filter(|queues| !queues.is_empty()).count()
}
