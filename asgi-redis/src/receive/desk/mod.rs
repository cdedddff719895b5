//! The task at one server: it takes messages off it for those who wait in this process.

mod bids;
mod data;
mod fetch;
mod put_back;
mod wait;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelKind, ChannelName};
use rand::seq::SliceRandom as _;
use tokio::time::{Instant, sleep, sleep_until};

use crate::connection::{Ear, Line, jittered_pause};
use crate::error::{Error, Result};
use crate::receive::Hub;
use crate::shard::Shard;

use super::parcel::Ready;
use super::state::{Demand, Look, Wants};

/// How long a blocking read lasts at the server, in seconds. When a connection is lost unnoticed
/// the server does not hand messages to it for longer than this.
const BLOCK: u32 = 2;

/// How long it may take until the answer is there; bids last as long.
const READ_LIMIT: Duration = Duration::from_secs(BLOCK as u64 + 2);

/// How many sets of channels are asked about at once.
const MAX_ASKED: usize = 32;

/// How often a process says that it reads envelopes, and for how long that holds.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
const ANNOUNCED_FOR: Duration = Duration::from_secs(30);

/// Works at a server until the layer is dropped.
pub(super) async fn work(hub: Arc<Hub>, shard: usize) {
    let mut desk = Desk {
        wake_key: hub.shards.get(shard).keys.wake(&random_name()),
        name: String::new(),
        hub,
        number: shard,
        reader: None,
        ear: None,
        listen_at: Instant::now(),
        may_bid: false,
        bids: Vec::new(),
        waits: 0,
        quiet: true,
        asked: false,
        announced: HashMap::new(),
        check_data_at: Instant::now(),
    };
    let mut failures = 0;
    let mut failing_since = None;
    loop {
        match desk.pass().await {
            Ok(Pass::Closed) => return,
            Ok(Pass::Worked) => {
                if failures > 0 {
                    failures = 0;
                    failing_since = None;
                    desk.hub.lock().desks[shard].down = false;
                }
            }
            Err(error) => {
                desk.reader = None;
                desk.bids.clear();
                desk.may_bid = false;
                desk.hub.lock().withdrawn(shard);
                for given in desk.stop_listening() {
                    desk.hub.lock().give(shard, given);
                }
                let since = *failing_since.get_or_insert_with(Instant::now);
                let server = &desk.hub.shards.get(shard).server;
                if since.elapsed() >= server.options().connect_timeout {
                    desk.hub.lock().fail(shard, &error);
                }
                sleep(jittered_pause(failures)).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

enum Pass {
    Worked,
    Closed,
}

struct Desk {
    hub: Arc<Hub>,
    /// Which server it is at.
    number: usize,
    /// What it is called on the connection on which messages are given.
    name: String,
    /// The list whose elements end a blocking read.
    wake_key: String,
    /// The connection for blocking reads.
    reader: Option<Line>,
    /// The connection on which messages are given.
    ear: Option<Ear>,
    /// When to try next to have one.
    listen_at: Instant,
    /// Whether the server is known to know what a bid is.
    may_bid: bool,
    /// The sets of channels that are bid for.
    bids: Vec<u64>,
    /// How many times it has waited.
    waits: u64,
    /// Whether there was nothing left when it was last looked.
    quiet: bool,
    /// Whether it was looked, and nothing found, since it was waited last.
    asked: bool,
    announced: HashMap<ChannelName, Instant>,
    /// When to look next whether the server was emptied.
    check_data_at: Instant,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.hub.lock().abandon(self.number);
    }
}

impl Desk {
    /// Does what there is to do, or waits until there is something.
    async fn pass(&mut self) -> Result<Pass> {
        self.put_back().await?;
        while let Some(look) = self.next_look() {
            self.look(look).await?;
        }
        let (demand, closed) = {
            let mut state = self.hub.lock();
            state.cover(self.number, &[]);
            let demand = state.demand(self.number);
            state.desks[self.number].at_rest = demand.is_empty();
            (demand, state.closed)
        };
        if demand.is_empty() {
            if closed {
                return Ok(Pass::Closed);
            }
            // Dropped only when the layer's last handle is; the notification outlives this wait.
            tokio::select! {
                () = self.hub.changed[self.number].notified() => {}
                () = self.stale() => {}
            }
            return Ok(Pass::Worked);
        }
        self.announce(&demand);
        // Blocking reads at several servers may each take a message for the same caller, and put
        // all but one back. So those who wait are first asked for, which only one server does at
        // a time.
        let several = self.hub.shards.all.len() > 1;
        if !self.quiet || (several && !self.asked) {
            let asked = self.ask(demand).await?;
            self.quiet = asked != Some(true);
            self.asked = asked == Some(false);
            return Ok(Pass::Worked);
        }
        self.asked = false;
        self.wait(demand).await?;
        Ok(Pass::Worked)
    }

    /// Waits until messages that are kept for nobody any more are to be put back, and has it done.
    async fn stale(&self) {
        let at = self.hub.lock().desks[self.number].stale_at;
        match at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.hub.lock().return_stale(self.number, Instant::now());
        self.hub.tell(&[self.number]);
    }

    fn shard(&self) -> &Shard {
        self.hub.shards.get(self.number)
    }

    /// The connection for blocking reads, to be given back to [`reader`](Self::reader) if nothing
    /// failed on it.
    async fn line(&mut self) -> Result<Line> {
        match self.reader.take() {
            Some(mut line) => {
                line.check().await?;
                Ok(line)
            }
            None => {
                self.check_data_at = Instant::now();
                self.shard().server.open().await
            }
        }
    }

    fn next_look(&self) -> Option<Look> {
        let mut state = self.hub.lock();
        let looks = &mut state.desks[self.number].looks;
        loop {
            let look = looks.pop_front()?;
            if !look.answer.is_closed() {
                return Some(look);
            }
        }
    }

    async fn look(&mut self, look: Look) -> Result<()> {
        let taken = self.take(None, &look.queues, Wants::ONE, None).await;
        let answer = match taken {
            Ok(mut taken) => Ok(taken.parcels.pop().map(Ready::Parcel)),
            Err(error) => Err(error),
        };
        if let Err(Ok(Some(ready))) = look.answer.send(answer) {
            self.hub.lock().keep(ready, true);
        }
        Ok(())
    }

    /// Asks for messages on the channels that somebody waits for; returns whether any came, or
    /// nothing if other servers are being asked for all who wait.
    async fn ask(&mut self, mut demand: Vec<Demand>) -> Result<Option<bool>> {
        let mut line = self.line().await?;
        demand.shuffle(&mut rand::rng());
        let mut found = None;
        for demand in demand.into_iter().take(MAX_ASKED) {
            let shards = self.hub.shards.all.len();
            let claim = self.hub.lock().claim(&demand.class, shards);
            if let Some(claim) = claim {
                let fetched = self.fetch(&mut line, claim, &demand.queues, None).await?;
                found = Some(found == Some(true) || fetched.came || fetched.more);
            }
        }
        self.reader = Some(line);
        Ok(found)
    }

    /// Tells the servers now and then that this process reads envelopes.
    fn announce(&mut self, demand: &[Demand]) {
        let now = Instant::now();
        for queue in demand.iter().flat_map(|demand| demand.queues.iter()) {
            if queue.kind() != ChannelKind::ProcessSpecific {
                continue;
            }
            let last = self.announced.get(queue);
            if last.is_some_and(|last| now.duration_since(*last) < ANNOUNCE_EVERY) {
                continue;
            }
            self.announced
                .retain(|_, last| now.duration_since(*last) < ANNOUNCED_FOR);
            self.announced.insert(queue.clone(), now);
            let (shards, queue) = (Arc::clone(&self.hub.shards), queue.clone());
            tokio::spawn(async move {
                if let Err(error) = shards.announce_reader(queue.as_str(), ANNOUNCED_FOR).await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "cannot announce that envelopes are read here",
                    );
                }
            });
        }
    }

    fn misunderstood(&self) -> Error {
        let reason = "an answer is not what the command returns";
        Error::protocol(self.shard().server.name(), reason)
    }
}

fn random_name() -> String {
    format!("{:016x}", rand::random::<u64>())
}
