//! Delivery of one message to members of a group.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use asgiref::codec::envelope;
use asgiref::{ChannelKind, ChannelName, Result};
use futures_util::future::join_all;

use crate::connection::{Command, Reply};
use crate::error::Error;
use crate::layer::read_dead;
use crate::script;
use crate::shard::{Dead, Shard, Shards};

use super::bodies::{Bodies, Part};
use super::misunderstood;

/// How many bodies one request puts on a server, so that others are served in between.
const MAX_BODIES: usize = 2000;

/// What the script says of a queue that it gave nothing.
const PASSED_OVER: i64 = -1;
const NO_READER: i64 = -2;

/// Whom to give a message, and how.
pub(super) struct Pass {
    pub(super) members: Vec<ChannelName>,
    pub(super) pass_over: PassOver,
    pub(super) form: Form,
}

impl Pass {
    /// The first for these members; nothing for nobody.
    pub(super) fn new(members: Vec<ChannelName>, pass_over: PassOver) -> Option<Self> {
        (!members.is_empty()).then_some(Self {
            members,
            pass_over,
            form: Form::Shared,
        })
    }
}

/// Which queues get nothing, so that their channels' memberships are looked at first.
#[derive(Clone, Copy, Debug)]
pub(super) enum PassOver {
    Nothing,
    /// Those on which expired messages are found now.
    ExpiredNow,
    /// The same, and those on which messages have expired before.
    Expired,
}

/// How members on one process get a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// One body for all of them, if the process reads envelopes.
    Shared,
    /// A body for each.
    Single,
}

/// What became of it.
#[derive(Default)]
pub(super) struct Outcome {
    /// The queues that were passed over.
    pub(super) passed_over: HashSet<String>,
    /// The queues whose process does not read envelopes.
    pub(super) not_readers: HashSet<String>,
    /// Normal channels whose share at the server asked is used up; others may have room.
    pub(super) full: Vec<ChannelName>,
    /// How many members missed the message.
    missed: u64,
    dead: Vec<Dead>,
}

impl Outcome {
    /// Adds what the script answered for a queue; `None` if it is not as it should be.
    pub(super) fn read(
        &mut self,
        queue: &str,
        elsewhere: Option<&ChannelName>,
        answer: [Reply; 3],
    ) -> Option<()> {
        let [delivered, full, dead] = answer;
        let full = u64::try_from(full.as_int()?).ok()?;
        match delivered.as_int()? {
            PASSED_OVER => drop(self.passed_over.insert(queue.to_owned())),
            NO_READER => drop(self.not_readers.insert(queue.to_owned())),
            _ => {}
        }
        match elsewhere {
            Some(channel) if full > 0 => self.full.push(channel.clone()),
            _ => self.missed += full,
        }
        self.dead.extend(read_dead(queue, dead)?);
        Some(())
    }

    /// Counts what was missed, and makes known what expired.
    pub(super) async fn note(&self, shards: &Shards) -> Result<()> {
        if self.missed > 0 {
            shards.counters.group_full(self.missed);
            tracing::debug!(
                members = self.missed,
                "members of a group missed a message: channel full"
            );
        }
        Ok(shards.expire(&self.dead).await?)
    }
}

/// Gives every server its part.
///
/// A normal channel gets what is for groups on one server, so that what expired there is found;
/// on the next one in the next round, if its share is used up.
pub(super) async fn deliver(
    shards: &Arc<Shards>,
    bodies: &Bodies<'_>,
    pass: &Pass,
    round: usize,
) -> Result<Outcome> {
    let mut queues: HashMap<&str, Vec<&ChannelName>> = HashMap::new();
    for channel in &pass.members {
        queues.entry(channel.non_local()).or_default().push(channel);
    }
    let mut requests: BTreeMap<usize, Vec<Delivery<'_>>> = BTreeMap::new();
    for (queue, channels) in queues {
        let shard = (shards.ring.index(queue) + round) % shards.ring.len();
        let normal = channels[0].kind() == ChannelKind::Normal;
        let mut delivery = Delivery {
            queue,
            capacity: shards.capacity_of(channels[0], shard),
            elsewhere: (normal && round + 1 < shards.ring.len()).then_some(channels[0]),
            shared: matches!(pass.form, Form::Shared)
                && channels.len() > 1
                && !shards.hints.is_no_reader(queue),
            parts: Vec::new(),
        };
        if delivery.shared {
            for channels in channels.chunks(envelope::MAX_MEMBERS) {
                delivery.parts.push(bodies.shared(shards, channels)?);
            }
        } else {
            for channel in channels {
                delivery.parts.push(bodies.single(shards, channel)?);
            }
        }
        requests.entry(shard).or_default().push(delivery);
    }
    let sending = requests
        .into_iter()
        .map(|(shard, deliveries)| deliver_at(shards, shard, bodies, deliveries, pass.pass_over));
    let mut sum = Outcome::default();
    for outcome in join_all(sending).await {
        let outcome = outcome?;
        sum.passed_over.extend(outcome.passed_over);
        sum.not_readers.extend(outcome.not_readers);
        sum.full.extend(outcome.full);
        sum.missed += outcome.missed;
        sum.dead.extend(outcome.dead);
    }
    sum.note(shards).await?;
    Ok(sum)
}

/// What one queue gets.
struct Delivery<'m> {
    queue: &'m str,
    capacity: i128,
    /// The channel, if other servers may take what this one has no room for.
    elsewhere: Option<&'m ChannelName>,
    /// Whether the parts are envelopes.
    shared: bool,
    parts: Vec<Part>,
}

async fn deliver_at(
    shards: &Shards,
    shard: usize,
    bodies: &Bodies<'_>,
    deliveries: Vec<Delivery<'_>>,
    pass_over: PassOver,
) -> Result<Outcome, Error> {
    let shard = shards.get(shard);
    let mut requests = Vec::new();
    let mut batch: Vec<(&Delivery<'_>, &[Part])> = Vec::new();
    let mut size = 0;
    for delivery in &deliveries {
        for parts in delivery.parts.chunks(MAX_BODIES) {
            if size + parts.len() > MAX_BODIES {
                requests.push(std::mem::take(&mut batch));
                size = 0;
            }
            size += parts.len();
            batch.push((delivery, parts));
        }
    }
    requests.push(batch);
    let mut outcome = Outcome::default();
    let sending = requests.iter().map(async |batch| {
        let command = command(shards, shard, bodies, batch, pass_over);
        script::DELIVER.run(&shard.server, command).await
    });
    for (batch, reply) in requests.iter().zip(join_all(sending).await) {
        let results = reply?.into_array().unwrap_or_default();
        for ((delivery, _), result) in batch.iter().zip(results) {
            let answer = result
                .into_array()
                .and_then(|answer| answer.try_into().ok());
            answer
                .and_then(|answer| outcome.read(delivery.queue, delivery.elsewhere, answer))
                .ok_or_else(|| misunderstood(shard))?;
        }
    }
    Ok(outcome)
}

fn command(
    shards: &Shards,
    shard: &Shard,
    bodies: &Bodies<'_>,
    batch: &[(&Delivery<'_>, &[Part])],
    pass_over: PassOver,
) -> Command {
    let keys = batch
        .iter()
        .map(|(delivery, _)| shard.keys.queue(delivery.queue));
    let mut command = script::DELIVER
        .command(keys, bodies.plain.len() + bodies.named.len() + 512)
        .arg(shard.keys.prefix())
        .int(shards.expiry_ms())
        .arg(shard.keys.global_statistics())
        .int(pass_over as u8)
        .arg(&bodies.plain)
        .arg(&bodies.named)
        .arg(shard.keys.expired())
        .arg(shard.keys.reader());
    for (delivery, parts) in batch {
        command.push_int(delivery.capacity);
        command.push(shard.keys.statistics(delivery.queue));
        command.push_int(u8::from(delivery.elsewhere.is_none()));
        command.push_int(u8::from(delivery.shared));
        command.push_int(parts.len() as i128);
        for part in *parts {
            command.push(part.kind);
            command.push(&part.value);
            command.push(&part.tail);
            command.push_int(part.members as i128);
        }
    }
    command
}
