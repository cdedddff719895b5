//! What a server may give to this process.

use std::sync::Arc;

use crate::receive::bid::{Bid, Given, MAX_BIDS};
use crate::receive::parcel::Ready;

use super::{Demand, State};

impl State {
    /// Bids at a server for those of the sets of channels that are all at that server: no other
    /// one may serve the same callers.
    pub(in crate::receive) fn bid(&mut self, shard: usize, demand: &[Demand]) -> Vec<Bid> {
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
    pub(in crate::receive) fn raise_bids(&mut self, shard: usize) -> Vec<(u64, usize)> {
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
    pub(in crate::receive) fn withdrawn(&mut self, shard: usize) {
        for class in self.classes.values_mut() {
            class.bids[shard] = None;
        }
    }

    /// Hands out a message that was given to this process. If nobody waits any more, it is put
    /// back, or kept if only this process may read its channel.
    pub(in crate::receive) fn give(&mut self, shard: usize, Given { class, parcel }: Given) {
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
}
