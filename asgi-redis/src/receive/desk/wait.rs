//! Waiting at the server.

use std::sync::Arc;
use std::time::Duration;

use asgiref::ChannelName;
use rand::seq::SliceRandom as _;
use tokio::time::timeout;

use crate::connection::{Command, Line, Reply};
use crate::error::Result;
use crate::receive::bid::Bid;
use crate::receive::state::Demand;

use super::bids::hear;
use super::{BLOCK, Desk, READ_LIMIT};

/// How long a read may take to end after it was told to, before it is told again.
const WAKE_AGAIN: Duration = Duration::from_millis(250);

/// How long, in milliseconds, an element that ends a read is kept.
const WAKE_LIFE: u32 = 10_000;

impl Desk {
    /// Waits until a stored message comes, or there is something else to do.
    pub(super) async fn wait(&mut self, demand: Vec<Demand>) -> Result<()> {
        let mut line = self.line().await?;
        self.check_data(&mut line).await?;
        self.listen(&mut line).await?;
        let read = self.blocking_read(&demand);
        self.hub.lock().cover(self.number, &demand);
        let bids = self.bids_for(&demand);
        let answers = self.wait_for_reply(&mut line, &bids, &read).await;
        self.hub.lock().cover(self.number, &[]);
        if let Ok((Err(error), _)) = &answers {
            // Perhaps the script is not known there any more.
            tracing::debug!(error = error as &dyn std::error::Error, "cannot bid");
            self.may_bid = false;
        }
        match answers.and_then(|(_, reply)| reply) {
            Ok(Reply::Array(pair)) => self.popped(&mut line, pair).await?,
            Ok(_) => self.withdraw(&mut line).await?,
            Err(error) => {
                self.failed(&error, !self.bids.is_empty());
                return Err(error);
            }
        }
        self.reader = Some(line);
        Ok(())
    }

    fn blocking_read(&self, demand: &[Demand]) -> Command {
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
        command.int(BLOCK)
    }

    /// Bids, has a blocking read executed, and hands out meanwhile what is given. Returns what
    /// became of the bids and of the read.
    async fn wait_for_reply(
        &mut self,
        line: &mut Line,
        bids: &[Bid],
        read: &Command,
    ) -> Result<(Result<()>, Result<Reply>)> {
        let bid = self.bid_command(bids);
        let listened = self.ear.is_some();
        let mut ear = self.ear.take();
        let answers = {
            let blocked = async {
                if bids.is_empty() {
                    let [reply] = line.call_all_within([read], READ_LIMIT).await?;
                    return Ok((Ok(()), reply));
                }
                // In this order: what is stored after the read has begun must close the bids.
                let [bid, reply] = line.call_all_within([&bid, read], READ_LIMIT).await?;
                Ok((bid.map(drop), reply))
            };
            let mut blocked = std::pin::pin!(blocked);
            loop {
                tokio::select! {
                    biased;
                    heard = hear(&mut ear) => match heard {
                        Ok(text) => self.heard(text),
                        Err(_) => ear = None,
                    },
                    answers = &mut blocked => break answers,
                    () = self.stale() => {}
                    () = self.hub.changed[self.number].notified() => {
                        if !self.must_stop_waiting() {
                            self.raise_bids();
                            continue;
                        }
                        // Whatever comes of it, the read is waited for: it may have taken a
                        // reference already. Nothing is put back before, because it might be
                        // taken by this very read, or be overtaken by what that took.
                        if let Err(error) = self.wake().await {
                            tracing::debug!(
                                error = &error as &dyn std::error::Error,
                                "cannot end a blocking read; it ends by itself",
                            );
                        }
                        match timeout(WAKE_AGAIN, &mut blocked).await {
                            Ok(answers) => break answers,
                            // Told again: a flush may have removed the element.
                            Err(_) => self.hub.changed[self.number].notify_one(),
                        }
                    }
                }
            }
        };
        // If the read failed as well, that is counted, once.
        if listened && ear.is_none() && answers.is_ok() {
            self.hub.shards.counters.interrupted_receive();
        }
        self.ear = ear;
        answers
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
            return self.withdraw(line).await;
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
            None => {
                self.put_reference_back(&queue, &key).await?;
                self.withdraw(line).await
            }
        }
    }
}
