//! What is given to this process while it waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::connection::{Command, Ear, Line};
use crate::error::{Error, Result};
use crate::receive::bid::{Bid, Given};
use crate::receive::state::Demand;
use crate::script;
use crate::shard::milliseconds;

use super::{Desk, READ_LIMIT, random_name};

/// How long no attempt to listen is made after one that failed.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// What begins a mark, and no message.
const MARK: &str = "=";

impl Desk {
    /// Sees that somebody listens, and that the server knows what a bid is. If that cannot be,
    /// all messages are stored first.
    pub(super) async fn listen(&mut self, line: &mut Line) -> Result<()> {
        if self.ear.is_some() && self.may_bid {
            return Ok(());
        }
        if self.hub.shards.is_cluster || Instant::now() < self.listen_at {
            return Ok(());
        }
        self.listen_at = Instant::now() + LISTEN_AGAIN;
        if self.ear.is_none() {
            // The server may still believe in a connection that was given up, and would give to it
            // what is meant for the new one.
            self.name = random_name();
            let shard = self.hub.shards.get(self.number);
            match Ear::open(&shard.server, &shard.keys.desk(&self.name)).await {
                Ok(ear) => self.ear = Some(ear),
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "cannot listen; messages are fetched",
                    );
                    return Ok(());
                }
            }
        }
        match script::BID.run_on(line, self.bid_command(&[])).await {
            Ok(_) => self.may_bid = true,
            // No reason not to wait there.
            Err(error @ Error::Refused { .. }) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot bid; messages are fetched",
            ),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What is bid for those who wait.
    pub(super) fn bids_for(&mut self, demand: &[Demand]) -> Vec<Bid> {
        let bids = if self.ear.is_some() && self.may_bid {
            self.waits += 1;
            self.hub.lock().bid(self.number, demand)
        } else {
            Vec::new()
        };
        self.bids = bids.iter().map(|bid| bid.class).collect();
        bids
    }

    /// The command that places `bids`.
    pub(super) fn bid_command(&self, bids: &[Bid]) -> Command {
        let mut command = script::BID
            .command::<&str>([], 256)
            .arg(self.shard().keys.prefix())
            .int(milliseconds(READ_LIMIT));
        for bid in bids {
            command.push(self.bid_name(bid.class));
            command.push_int(bid.limit as i128);
            command.push_int(bid.queues.len() as i128);
            for queue in &*bid.queues {
                command.push(queue.as_str());
            }
        }
        command
    }

    /// Has bids take more, for callers who came back.
    pub(super) fn raise_bids(&self) {
        let raised = self.hub.lock().raise_bids(self.number);
        for (class, by) in raised {
            let key = self.shard().keys.bid(&self.bid_name(class));
            let command = script::RAISE.command([key], 32).int(by as i128);
            let (shards, number) = (Arc::clone(&self.hub.shards), self.number);
            tokio::spawn(async move {
                if let Err(error) = script::RAISE.run(&shards.get(number).server, command).await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "cannot raise a bid",
                    );
                }
            });
        }
    }

    /// What a script that withdraws the bids must be told: the channel, the mark, and the keys of
    /// the bids. Nothing if there are none.
    pub(super) fn withdrawal(&mut self) -> Option<Withdrawal> {
        let bids = std::mem::take(&mut self.bids);
        if bids.is_empty() {
            return None;
        }
        let keys = &self.shard().keys;
        Some(Withdrawal {
            channel: keys.desk(&self.name),
            mark: format!("{MARK}{}", self.waits),
            bids: bids
                .into_iter()
                .map(|class| keys.bid(&self.bid_name(class)))
                .collect(),
        })
    }

    /// Withdraws the bids, and takes what was given for them.
    pub(super) async fn withdraw(&mut self, line: &mut Line) -> Result<()> {
        let Some(withdrawal) = self.withdrawal() else {
            return Ok(());
        };
        let mut command = script::WITHDRAW.command::<&str>([], 256);
        withdrawal.push_to(&mut command);
        let heard = script::WITHDRAW
            .run_on(line, command)
            .await
            .inspect_err(|error| self.failed(error, true))?
            .as_int();
        for given in self.hear_out(&withdrawal.mark, heard).await {
            self.hub.lock().give(self.number, given);
        }
        Ok(())
    }

    /// What was given before the `mark`.
    pub(super) async fn hear_out(&mut self, mark: &str, heard: Option<i64>) -> Vec<Given> {
        self.hub.lock().withdrawn(self.number);
        let mut all = Vec::new();
        let limit = self.shard().server.options().response_timeout;
        let deadline = Instant::now() + limit;
        let is_heard = heard.is_some_and(|listeners| listeners > 0);
        while let (Some(ear), true) = (&mut self.ear, is_heard) {
            match timeout_at(deadline, ear.next()).await {
                Ok(Ok(text)) if text == mark => return all,
                Ok(Ok(text)) => all.extend(self.read_given(text)),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        if self.ear.is_some() {
            self.hub.shards.counters.interrupted_receive();
        }
        all.extend(self.stop_listening());
        all
    }

    /// Gives up the connection that listens; returns what came on it before.
    pub(super) fn stop_listening(&mut self) -> Vec<Given> {
        let mut all = Vec::new();
        if let Some(mut ear) = self.ear.take() {
            while let Some(text) = ear.next_ready() {
                all.extend(self.read_given(text));
            }
        }
        all
    }

    /// Hands out what was published to this process.
    pub(super) fn heard(&self, text: Bytes) {
        if let Some(given) = self.read_given(text) {
            let mut state = self.hub.lock();
            state.give(self.number, given);
            if !state.desks[self.number].returns.is_empty() {
                // There is something to be put back.
                self.hub.tell(&[self.number]);
            }
        }
    }

    fn read_given(&self, text: Bytes) -> Option<Given> {
        // The mark of a withdrawal whose answer did not come.
        if text.starts_with(MARK.as_bytes()) {
            return None;
        }
        let number = self.hub.next_number();
        let given = Given::read(text, &self.shard().keys, self.number, number);
        if given.is_none() {
            self.hub.shards.counters.poisoned();
        }
        given
    }

    /// Different each time, so that what is meant for a bid does not reach the next one.
    fn bid_name(&self, class: u64) -> String {
        format!("{}.{class}.{}", self.name, self.waits)
    }
}

/// How bids end.
pub(super) struct Withdrawal {
    channel: String,
    pub(super) mark: String,
    bids: Vec<String>,
}

impl Withdrawal {
    pub(super) fn push_to(&self, command: &mut Command) {
        command.push(&self.channel);
        command.push(&self.mark);
        for bid in &self.bids {
            command.push(bid);
        }
    }
}

/// Waits for what is published; for ever if nobody listens.
pub(super) async fn hear(ear: &mut Option<Ear>) -> Result<Bytes, Error> {
    match ear {
        Some(ear) => ear.next().await,
        None => std::future::pending().await,
    }
}
