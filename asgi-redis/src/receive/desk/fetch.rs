//! Taking messages off the server.

use std::time::Duration;

use asgiref::ChannelName;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::connection::{Line, Reply};
use crate::error::{Error, Result};
use crate::receive::bid::Given;
use crate::receive::parcel::Parcel;
use crate::receive::state::{Claim, Wants};
use crate::script;
use crate::shard::Dead;

use super::Desk;

/// How many bytes of messages one request takes, beyond the last message.
const MAX_BYTES: u32 = 1 << 20;

/// How long to leave a message alone that cannot be read.
const STUCK: Duration = Duration::from_millis(20);

impl Desk {
    /// Counts a failure after which messages may be lost: on their way in the answer, or to a
    /// process that had bid, which listens no more.
    pub(super) fn failed(&self, error: &Error, had_bid: bool) {
        if had_bid || matches!(error, Error::Lost { .. } | Error::Timeout { .. }) {
            self.hub.shards.counters.interrupted_receive();
        }
    }

    /// Puts a reference back whose message was not fetched.
    async fn return_reference(&self, queue: &str, key: &[u8]) {
        if let Err(error) = self.put_reference_back(queue, key).await {
            self.hub.shards.counters.interrupted_receive();
            tracing::warn!(
                channel = queue,
                error = &error as &dyn std::error::Error,
                "a message is lost: it cannot be fetched, nor put back",
            );
        }
    }

    /// Fetches messages for callers, with those that were given meanwhile, and hands them over.
    pub(super) async fn fetch(
        &mut self,
        line: &mut Line,
        claim: Claim,
        queues: &[ChannelName],
        popped: Option<(&str, &[u8])>,
    ) -> Result<Fetched> {
        let taken = self.take(Some(line), queues, claim.wants(), popped).await;
        let (given, parcels, outcome) = match taken {
            Ok(Taken {
                given,
                parcels,
                more,
                ..
            }) => {
                let came = !(given.is_empty() && parcels.is_empty());
                (given, parcels, Ok(Fetched { came, more }))
            }
            Err(error) => (Vec::new(), Vec::new(), Err(error)),
        };
        let more = outcome.as_ref().is_ok_and(|fetched| fetched.more);
        let left = {
            let mut state = self.hub.lock();
            let came = state.admit(self.number, &claim, given, parcels);
            state.settle(self.number, claim, came, more)
        };
        if left && self.hub.shards.all.len() > 1 {
            // Other servers passed these callers over.
            self.hub.tell_all();
        }
        outcome
    }

    pub(super) async fn take(
        &mut self,
        line: Option<&mut Line>,
        queues: &[ChannelName],
        wants: Wants,
        popped: Option<(&str, &[u8])>,
    ) -> Result<Taken> {
        let keys = &self.hub.shards.get(self.number).keys;
        let start = rand::random_range(0..queues.len().max(1));
        let rotated: Vec<&ChannelName> = queues[start..].iter().chain(&queues[..start]).collect();
        let lists = rotated.iter().map(|queue| keys.queue(queue.as_str()));
        let mut command = script::TAKE
            .command(lists, 96)
            .int(wants.limit as i128)
            .int(wants.least as i128)
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
        let withdrawal = match line {
            Some(_) => self.withdrawal(),
            None => None,
        };
        if let Some(withdrawal) = &withdrawal {
            withdrawal.push_to(&mut command);
        }
        let answer = match line {
            Some(line) => script::TAKE.run_on(line, command).await,
            None => {
                let server = &self.hub.shards.get(self.number).server;
                script::TAKE.run(server, command).await
            }
        };
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                self.failed(&error, withdrawal.is_some());
                // A server that refused left the reference with us.
                if let (Error::Refused { .. }, Some((queue, key))) = (&error, popped) {
                    self.return_reference(queue, key).await;
                }
                return Err(error);
            }
        };
        let taken = self.read_taken(reply, &rotated);
        let (mut taken, dead, heard) = taken.ok_or_else(|| self.misunderstood())?;
        if let Some(withdrawal) = withdrawal {
            taken.given = self.hear_out(&withdrawal.mark, heard).await;
        }
        if let Some((queue, key)) = taken.stuck.take() {
            self.return_reference(queue.as_str(), &key).await;
            sleep(STUCK).await;
        }
        if let Err(error) = self.hub.shards.expire(&dead).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot note which messages expired",
            );
        }
        Ok(taken)
    }

    /// What the script answered: what was taken, what had expired, whether the end of the bids is
    /// heard.
    fn read_taken(
        &self,
        reply: Reply,
        queues: &[&ChannelName],
    ) -> Option<(Taken, Vec<Dead>, Option<i64>)> {
        let [more, dead, messages, heard, stuck] =
            <[Reply; 5]>::try_from(reply.into_array()?).ok()?;
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
            parcels.push(Parcel {
                number: self.hub.next_number(),
                shard: self.number,
                queue: queue(&message[0])?.clone(),
                key: message[1].clone().into_bytes()?,
                body: message[2].clone().into_bytes()?,
                taken: now,
                expires: now + life,
            });
        }
        let stuck = match &stuck.into_array()?[..] {
            [number, key] => Some((queue(number)?.clone(), key.clone().into_bytes()?)),
            _ => None,
        };
        let taken = Taken {
            given: Vec::new(),
            stuck,
            parcels,
            more: more.as_int()? > 0,
        };
        Some((taken, expired, heard.as_int()))
    }
}

/// What became of a request for messages.
pub(super) struct Fetched {
    pub(super) came: bool,
    /// Whether there is more.
    pub(super) more: bool,
}

/// What came off a server.
pub(super) struct Taken {
    /// What was given before.
    given: Vec<Given>,
    /// A message that cannot be read at the moment: its channel and its key.
    stuck: Option<(ChannelName, Bytes)>,
    pub(super) parcels: Vec<Parcel>,
    /// Whether there is more.
    more: bool,
}
