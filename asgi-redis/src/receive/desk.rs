//! The task at one server: it takes messages off it for those who wait in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelKind, ChannelName};
use rand::seq::SliceRandom as _;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{Command, Line, Reply, jittered_pause};
use crate::error::{Error, Result};
use crate::receive::Hub;
use crate::script;
use crate::shard::{Dead, Shard};

use super::parcel::{Parcel, Ready};
use super::state::{Claim, Demand, Look};

/// How long a blocking read lasts at the server, in seconds. When a connection is lost unnoticed
/// the server does not hand messages to it for longer than this.
const BLOCK: u32 = 2;

/// How much later than that the answer may come.
const GRACE: Duration = Duration::from_secs(2);

/// How long a read may take to end after it was told to, before it is told again.
const WAKE_AGAIN: Duration = Duration::from_millis(250);

/// How long, in milliseconds, an element that ends a read is kept.
const WAKE_LIFE: u32 = 10_000;

/// How many bytes of messages one request takes, beyond the last message.
const MAX_BYTES: u32 = 1 << 20;

/// How many sets of channels are asked about at once.
const MAX_ASKED: usize = 32;

/// How often a process says that it reads envelopes, and for how long that holds.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
const ANNOUNCED_FOR: Duration = Duration::from_secs(30);

/// How often it is looked whether the server was emptied.
const CHECK_DATA_EVERY: Duration = Duration::from_secs(10);

/// How long the mark stays that tells so, at least, in milliseconds.
const MARK_LIFE: i128 = 3_600_000;

/// Works at a server until the layer is dropped.
pub(super) async fn work(hub: Arc<Hub>, shard: usize) {
    let mut desk = Desk {
        wake_key: hub.shards.get(shard).keys.wake(&random_name()),
        hub,
        number: shard,
        reader: None,
        quiet: true,
        asked: false,
        taken: 0,
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
    /// The list whose elements end a blocking read.
    wake_key: String,
    /// The connection for blocking reads.
    reader: Option<Line>,
    /// Whether there was nothing left when it was last looked.
    quiet: bool,
    /// Whether it was looked, and nothing found, since it was waited last.
    asked: bool,
    /// How many messages were taken so far.
    taken: u64,
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
            self.hub.changed[self.number].notified().await;
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

    /// Looks now and then whether the mark that was found on the server is still there.
    async fn check_data(&mut self, line: &mut Line) -> Result<()> {
        if Instant::now() < self.check_data_at {
            return Ok(());
        }
        self.check_data_at = Instant::now() + CHECK_DATA_EVERY;
        let before = self.hub.lock().desks[self.number].data.clone();
        let life = self.hub.shards.group_expiry_ms().max(MARK_LIFE);
        let command = script::DATA
            .command([self.shard().keys.data()], 64)
            .arg(random_name())
            .int(life);
        let mark = match script::DATA.run_on(line, command).await {
            // No reason to leave the messages there that can still be handed out.
            Err(error) if matches!(error.code(), Some("OOM" | "NOPERM" | "MISCONF")) => {
                tracing::debug!(%error, "cannot mark the server");
                return Ok(());
            }
            mark => mark?,
        };
        let mark = mark.into_bytes().ok_or_else(|| self.misunderstood())?;
        let mut state = self.hub.lock();
        let known = &mut state.desks[self.number].data;
        // Unless a flush came in between.
        let lost = before.is_some() && *known == before && before.as_ref() != Some(&mark);
        *known = Some(mark);
        drop(state);
        if lost {
            self.hub.shards.counters.data_lost();
            self.announced.clear();
            tracing::warn!(
                server = %self.shard().server.name(),
                "the server was emptied: messages and groups that were there are gone",
            );
        }
        Ok(())
    }

    /// Puts messages back that somebody gave back.
    async fn put_back(&self) -> Result<()> {
        let mut returns = self.hub.lock().take_returns(self.number);
        // The newest first: each goes before those that are there already.
        returns.sort_by(|a, b| (a.queue.as_str(), b.number).cmp(&(b.queue.as_str(), a.number)));
        let now = Instant::now();
        for same_queue in returns.chunk_by(|a, b| a.queue == b.queue) {
            let size = same_queue.iter().map(|parcel| parcel.body.len() + 64).sum();
            let key = self.shard().keys.queue(same_queue[0].queue.as_str());
            let mut command = script::BACK
                .command([key], size)
                .int(self.hub.shards.expiry_ms());
            for parcel in same_queue {
                let life = parcel.expires.saturating_duration_since(now).as_millis();
                if life > 0 {
                    command.push(&parcel.key);
                    command.push_int(life as i128);
                    command.push(&parcel.body);
                }
            }
            match script::BACK.run(&self.shard().server, command).await {
                Ok(_) => {}
                // They may be there: a second time they would be delivered twice.
                Err(error @ (Error::Lost { .. } | Error::Timeout { .. })) => {
                    self.hub.shards.counters.interrupted_receive();
                    return Err(error);
                }
                Err(error) => {
                    let mut state = self.hub.lock();
                    let again = same_queue.iter().cloned();
                    state.desks[self.number].returns.extend(again);
                    return Err(error);
                }
            }
        }
        self.hub.lock().desks[self.number].putting_back = false;
        Ok(())
    }

    /// Puts a reference back whose message was not fetched.
    async fn put_reference_back(&self, queue: &str, key: &[u8]) -> Result<()> {
        let command = script::BACK
            .command([self.shard().keys.queue(queue)], 64)
            .int(self.hub.shards.expiry_ms())
            .arg(key)
            .int(-1)
            .arg("");
        script::BACK.run(&self.shard().server, command).await?;
        Ok(())
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
        let taken = self.take(None, &look.queues, 1, None).await;
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

    /// Waits until a message comes, or there is something else to do.
    async fn wait(&mut self, demand: Vec<Demand>) -> Result<()> {
        let mut line = self.line().await?;
        self.check_data(&mut line).await?;
        let mut queues: Vec<&ChannelName> = demand
            .iter()
            .flat_map(|demand| demand.queues.iter())
            .collect();
        queues.sort_unstable();
        queues.dedup();
        // The server serves the first that has something.
        queues.shuffle(&mut rand::rng());
        let mut command = Command::new("BLPOP").arg(&self.wake_key);
        for queue in &queues {
            command.push(self.shard().keys.queue(queue.as_str()));
        }
        let command = command.int(BLOCK);
        self.hub.lock().cover(self.number, &demand);

        let limit = Duration::from_secs(BLOCK.into()) + GRACE;
        let reply = {
            let mut blocked = std::pin::pin!(line.call_within(&command, limit));
            loop {
                tokio::select! {
                    biased;
                    reply = &mut blocked => break reply,
                    () = self.hub.changed[self.number].notified() => {
                        if self.must_stop_waiting() {
                            // What is put back must not be taken by this very read. The commands
                            // go out together, in this order.
                            let (woken, put_back) = tokio::join!(self.wake(), self.put_back());
                            // Whatever came of it, the read is waited for: it may have taken a
                            // reference already.
                            if let Err(error) = woken.and(put_back) {
                                tracing::debug!(
                                    error = &error as &dyn std::error::Error,
                                    "cannot end a blocking read; it ends by itself",
                                );
                            }
                            match timeout(WAKE_AGAIN, &mut blocked).await {
                                Ok(reply) => break reply,
                                // Told again: a flush may have removed the element.
                                Err(_) => self.hub.changed[self.number].notify_one(),
                            }
                        }
                    }
                }
            }
        };
        self.hub.lock().cover(self.number, &[]);
        match reply {
            Ok(Reply::Array(pair)) => self.popped(&mut line, pair).await?,
            Ok(_) => {}
            Err(error) => {
                self.failed(&error);
                return Err(error);
            }
        }
        self.reader = Some(line);
        Ok(())
    }

    /// Counts a failure after which messages may be lost.
    fn failed(&self, error: &Error) {
        if matches!(error, Error::Lost { .. } | Error::Timeout { .. }) {
            self.hub.shards.counters.interrupted_receive();
        }
    }

    /// Whether there is something to do that a blocking read is in the way of.
    fn must_stop_waiting(&self) -> bool {
        let state = self.hub.lock();
        let desk = &state.desks[self.number];
        state.closed
            || !desk.looks.is_empty()
            || !desk.returns.is_empty()
            || !state.is_covered(self.number)
    }

    /// Ends the blocking read.
    async fn wake(&self) -> Result<()> {
        let pipe = self.shard().server.pipe().await?;
        let push = Command::new("RPUSH").arg(&self.wake_key).int(1);
        let expire = Command::new("PEXPIRE").arg(&self.wake_key).int(WAKE_LIFE);
        pipe.call_all(vec![Arc::new(push), Arc::new(expire)])
            .await?;
        Ok(())
    }

    /// Fetches the message whose reference a blocking read took.
    async fn popped(&mut self, line: &mut Line, pair: Vec<Reply>) -> Result<()> {
        let mut pair = pair.into_iter().filter_map(Reply::into_bytes);
        let (Some(list), Some(key)) = (pair.next(), pair.next()) else {
            return Err(self.misunderstood());
        };
        if list == self.wake_key.as_bytes() {
            return Ok(());
        }
        let keys = &self.hub.shards.get(self.number).keys;
        let Some(queue) = keys.queue_of(&list).map(str::to_owned) else {
            return Err(self.misunderstood());
        };
        let shards = self.hub.shards.all.len();
        let claim = {
            let mut state = self.hub.lock();
            let claim = state.claim_for(&queue, self.number, shards);
            claim.map(|claim| (state.queues(&claim, self.number), claim))
        };
        match claim {
            Some((queues, claim)) => {
                let popped = Some((&*queue, &*key));
                self.quiet = !self.fetch(line, claim, &queues, popped).await?.more;
                Ok(())
            }
            None => self.put_reference_back(&queue, &key).await,
        }
    }

    /// Fetches messages for callers and hands them over.
    async fn fetch(
        &mut self,
        line: &mut Line,
        claim: Claim,
        queues: &[ChannelName],
        popped: Option<(&str, &[u8])>,
    ) -> Result<Fetched> {
        let taken = self.take(Some(line), queues, claim.limit, popped).await;
        let (parcels, outcome) = match taken {
            Ok(Taken { parcels, more }) => {
                let came = !parcels.is_empty();
                (parcels, Ok(Fetched { came, more }))
            }
            Err(error) => (Vec::new(), Err(error)),
        };
        let more = outcome.as_ref().is_ok_and(|fetched| fetched.more);
        let left = self.hub.lock().settle(claim, parcels, more);
        if left && self.hub.shards.all.len() > 1 {
            // Other servers passed these callers over.
            self.hub.tell_all();
        }
        outcome
    }

    async fn take(
        &mut self,
        line: Option<&mut Line>,
        queues: &[ChannelName],
        limit: usize,
        popped: Option<(&str, &[u8])>,
    ) -> Result<Taken> {
        let keys = &self.hub.shards.get(self.number).keys;
        let start = rand::random_range(0..queues.len().max(1));
        let rotated: Vec<&ChannelName> = queues[start..].iter().chain(&queues[..start]).collect();
        let lists = rotated.iter().map(|queue| keys.queue(queue.as_str()));
        let mut command = script::TAKE
            .command(lists, 96)
            .int(limit as i128)
            .int(MAX_BYTES);
        match popped {
            Some((queue, key)) => {
                let number = rotated.iter().position(|listed| **listed == *queue);
                command.push(key);
                command.push_int(number.map_or(0, |number| number as i128 + 1));
            }
            None => {
                command.push("");
                command.push_int(0);
            }
        }
        let answer = match line {
            Some(line) => script::TAKE.run_on(line, command).await,
            None => {
                let server = &self.hub.shards.get(self.number).server;
                script::TAKE.run(server, command).await
            }
        };
        let reply = answer.inspect_err(|error| self.failed(error))?;
        let taken = self.read_taken(reply, &rotated);
        let (taken, dead) = taken.ok_or_else(|| self.misunderstood())?;
        if let Err(error) = self.hub.shards.expire(&dead).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot note which messages expired",
            );
        }
        Ok(taken)
    }

    fn read_taken(&mut self, reply: Reply, queues: &[&ChannelName]) -> Option<(Taken, Vec<Dead>)> {
        let [more, dead, messages] = <[Reply; 3]>::try_from(reply.into_array()?).ok()?;
        let queue = |number: &Reply| {
            let index = usize::try_from(number.as_int()?).ok()?.checked_sub(1)?;
            queues.get(index).copied()
        };
        let mut expired = Vec::new();
        for pair in dead.into_array()?.chunks_exact(2) {
            expired.push(Dead {
                queue: queue(&pair[0])?.as_str().to_owned(),
                key: pair[1].clone().into_bytes()?,
            });
        }
        let now = Instant::now();
        let longest = self.hub.shards.config.message_expiry();
        let mut parcels = Vec::new();
        for message in messages.into_array()?.chunks_exact(4) {
            let life = match u64::try_from(message[3].as_int()?) {
                Ok(life) => Duration::from_millis(life),
                // Somebody wrote it without an expiry.
                Err(_) => longest,
            };
            self.taken += 1;
            parcels.push(Parcel {
                number: self.taken,
                shard: self.number,
                queue: queue(&message[0])?.clone(),
                key: message[1].clone().into_bytes()?,
                body: message[2].clone().into_bytes()?,
                expires: now + life,
            });
        }
        let taken = Taken {
            parcels,
            more: more.as_int()? > 0,
        };
        Some((taken, expired))
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

/// What became of a request for messages.
struct Fetched {
    came: bool,
    /// Whether there is more.
    more: bool,
}

/// What came off a server.
struct Taken {
    parcels: Vec<Parcel>,
    /// Whether there is more.
    more: bool,
}

fn random_name() -> String {
    format!("{:016x}", rand::random::<u64>())
}
