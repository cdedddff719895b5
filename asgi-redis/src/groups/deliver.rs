//! Delivery of one message to members of a group.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use asgiref::codec::envelope;
use asgiref::{ChannelKind, ChannelName, Error as LayerError, GroupName, Result};
use futures_util::future::join_all;

use crate::connection::{Command, Reply};
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
    /// Those who were passed over: whole queues, or some of the channels of one.
    passed_queues: HashSet<String>,
    passed_members: HashSet<ChannelName>,
    /// Members whose process does not read envelopes.
    pub(super) not_readers: HashSet<ChannelName>,
    /// Normal channels whose share at the server asked is used up; others may have room.
    pub(super) full: Vec<ChannelName>,
    /// How many members missed the message.
    missed: u64,
    dead: Vec<Dead>,
}

impl Outcome {
    pub(super) fn any_passed_over(&self) -> bool {
        !(self.passed_queues.is_empty() && self.passed_members.is_empty())
    }

    pub(super) fn was_passed_over(&self, channel: &ChannelName) -> bool {
        self.passed_queues.contains(channel.non_local()) || self.passed_members.contains(channel)
    }

    /// Adds what the script answered for a queue; `None` if it is not as it should be.
    pub(super) fn read(&mut self, queue: &str, answer: [Reply; 3]) -> Option<()> {
        let (delivered, full) = self.read_figures(queue, answer)?;
        if delivered == PASSED_OVER {
            self.passed_queues.insert(queue.to_owned());
        }
        self.missed += full;
        Some(())
    }

    /// The same for some of the channels of a queue. What others of them get may have been another
    /// request, with another answer.
    fn read_some(
        &mut self,
        delivery: &Delivery<'_>,
        members: &[&ChannelName],
        answer: [Reply; 3],
    ) -> Option<()> {
        let (delivered, full) = self.read_figures(delivery.queue, answer)?;
        let members = members.iter().map(|channel| (*channel).clone());
        match delivered {
            PASSED_OVER => self.passed_members.extend(members),
            NO_READER => self.not_readers.extend(members),
            _ => {}
        }
        match delivery.elsewhere {
            Some(channel) if full > 0 => self.full.push(channel.clone()),
            _ => self.missed += full,
        }
        Some(())
    }

    fn read_figures(&mut self, queue: &str, answer: [Reply; 3]) -> Option<(i64, u64)> {
        let [delivered, full, dead] = answer;
        self.dead.extend(read_dead(queue, dead)?);
        Some((delivered.as_int()?, u64::try_from(full.as_int()?).ok()?))
    }

    /// Counts and tells what was missed, and makes known what expired.
    pub(super) async fn note(&self, shards: &Shards, group: &GroupName) -> Result<()> {
        if self.missed > 0 {
            shards.counters.group_full(self.missed);
            shards.dropped.add(group, self.missed);
        }
        Ok(shards.expire(&self.dead).await?)
    }
}

/// Gives every server its part, all of them at once.
///
/// A normal channel gets what is for groups on one server, so that what expired there is found;
/// on the next one in the next round, if its share is used up.
pub(super) async fn deliver(
    shards: &Arc<Shards>,
    group: &GroupName,
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
            channels,
            parts: Vec::new(),
        };
        delivery.fill(shards, bodies)?;
        requests.entry(shard).or_default().push(delivery);
    }
    let mut sending = Vec::new();
    for (shard, deliveries) in &requests {
        for pieces in requests_of(deliveries) {
            sending.push(async move {
                let shard = shards.get(*shard);
                let command = command(shards, shard, bodies, &pieces, pass.pass_over);
                let answer = script::DELIVER.run(&shard.server, command).await;
                (shard, pieces, answer)
            });
        }
    }
    let mut outcome = Outcome::default();
    let mut failed = None;
    for (shard, pieces, answer) in join_all(sending).await {
        let answer = answer.and_then(|reply| {
            let results = reply.into_array().unwrap_or_default();
            let mut pairs = pieces.iter().zip(results);
            pairs
                .try_for_each(|(piece, result)| {
                    let answer = result.into_array()?.try_into().ok()?;
                    outcome.read_some(piece.delivery, piece.members(), answer)
                })
                .ok_or_else(|| misunderstood(shard))
        });
        failed = failed.or(answer.err());
    }
    // Also if one of several servers failed.
    outcome.note(shards, group).await?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(outcome),
    }
}

/// What one queue gets.
struct Delivery<'m> {
    queue: &'m str,
    capacity: i128,
    /// The channel, if other servers may take what this one has no room for.
    elsewhere: Option<&'m ChannelName>,
    /// Whether the parts are envelopes.
    shared: bool,
    channels: Vec<&'m ChannelName>,
    parts: Vec<Part>,
}

impl Delivery<'_> {
    fn fill(&mut self, shards: &Shards, bodies: &Bodies<'_>) -> Result<()> {
        if self.shared {
            let pieces = self.channels.chunks(envelope::MAX_MEMBERS);
            let parts: Result<_> = pieces
                .map(|channels| bodies.shared(shards, channels))
                .collect();
            match parts {
                // The message is as large as may be, and the names would make it larger.
                Err(LayerError::MessageTooLarge { .. }) => self.shared = false,
                parts => {
                    self.parts = parts?;
                    return Ok(());
                }
            }
        }
        let channels = self.channels.iter();
        let parts: Result<_> = channels
            .map(|channel| bodies.single(shards, channel))
            .collect();
        self.parts = parts?;
        Ok(())
    }
}

/// Some of what a queue gets.
struct Piece<'d, 'm> {
    delivery: &'d Delivery<'m>,
    /// Which is the first of the parts.
    first: usize,
    parts: &'d [Part],
}

impl<'m> Piece<'_, 'm> {
    /// Whom the parts are for.
    fn members(&self) -> &[&'m ChannelName] {
        let Delivery {
            shared, channels, ..
        } = self.delivery;
        let each = if *shared { envelope::MAX_MEMBERS } else { 1 };
        let end = (self.first + self.parts.len()) * each;
        &channels[self.first * each..end.min(channels.len())]
    }
}

/// What a server gets, divided into requests.
fn requests_of<'d, 'm>(deliveries: &'d [Delivery<'m>]) -> Vec<Vec<Piece<'d, 'm>>> {
    let mut requests = vec![Vec::new()];
    let mut size = 0;
    for delivery in deliveries {
        let mut first = 0;
        for parts in delivery.parts.chunks(MAX_BODIES) {
            if size + parts.len() > MAX_BODIES {
                requests.push(Vec::new());
                size = 0;
            }
            size += parts.len();
            if let Some(last) = requests.last_mut() {
                last.push(Piece {
                    delivery,
                    first,
                    parts,
                });
            }
            first += parts.len();
        }
    }
    requests
}

fn command(
    shards: &Shards,
    shard: &Shard,
    bodies: &Bodies<'_>,
    pieces: &[Piece<'_, '_>],
    pass_over: PassOver,
) -> Command {
    let keys = pieces
        .iter()
        .map(|piece| shard.keys.queue(piece.delivery.queue));
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
    for Piece {
        delivery, parts, ..
    } in pieces
    {
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
