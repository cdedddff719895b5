//! The groups extension.
//!
//! A group send asks the group's server for the members and then gives each server concerned one
//! request for all members there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use asgiref::codec::{CHANNEL_KEY, Codec};
use asgiref::{ChannelKind, ChannelName, GroupName, Groups, Message, Result, Value};
use async_trait::async_trait;
use bytes::Bytes;

use crate::connection::{Command, Reply};
use crate::envelope;
use crate::error::Error;
use crate::keys::digest;
use crate::layer::{RedisChannelLayer, read_dead};
use crate::script;
use crate::shard::{Dead, Shard, Shards};

/// How many bodies one request puts on a server, so that others are served in between.
const MAX_BODIES: usize = 2000;

/// How many digits of a channel's hash stand for it.
const DIGEST_DIGITS: u8 = 11;

#[async_trait]
impl Groups for RedisChannelLayer {
    fn group_expiry(&self) -> Duration {
        self.shards().config.membership_expiry()
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let shards = self.shards();
        let shard = shards.get(shards.ring.index(group.as_str()));
        let command = script::JOIN
            .command([shard.keys.group(group.as_str())], 256)
            .arg(channel.as_str())
            .int(shards.group_expiry_ms());
        script::JOIN.run(&shard.server, command).await?;
        Ok(())
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let shards = self.shards();
        let shard = shards.get(shards.ring.index(group.as_str()));
        let command = Command::new("ZREM")
            .arg(shard.keys.group(group.as_str()))
            .arg(channel.as_str());
        shard.server.call(&Arc::new(command)).await?;
        Ok(())
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        let members = members(self.shards(), group).await?;
        Ok(members.channels.into_iter().collect())
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let shards = self.shards();
        // Also finds out what is wrong with the message if the group is empty.
        let bodies = Bodies::new(shards, &message)?;
        let found = members(shards, group).await?;
        send_to(shards, group, &bodies, found).await
    }
}

#[cfg(feature = "local")]
impl RedisChannelLayer {
    /// Sends to all members of a group but normal channels; returns those.
    pub(crate) async fn send_to_typed(
        &self,
        group: &GroupName,
        message: &Message,
    ) -> Result<Vec<ChannelName>> {
        let shards = self.shards();
        let bodies = Bodies::new(shards, message)?;
        let mut found = members(shards, group).await?;
        let (normal, typed) = std::mem::take(&mut found.channels)
            .into_iter()
            .partition(|channel| channel.kind() == ChannelKind::Normal);
        found.channels = typed;
        send_to(shards, group, &bodies, found).await?;
        Ok(normal)
    }
}

async fn send_to(
    shards: &Arc<Shards>,
    group: &GroupName,
    bodies: &Bodies<'_>,
    mut found: Members,
) -> Result<()> {
    for round in 0..shards.ring.len() {
        let readers = found.readers.clone();
        let mut outcome = deliver(shards, bodies, found, round, true).await?;
        if !outcome.passed_over.is_empty() {
            // On these queues messages had expired, so that some of the channels may not be
            // members any more.
            let mut rest = members(shards, group).await?;
            rest.channels
                .retain(|channel| outcome.passed_over.contains(channel.non_local()));
            let again = deliver(shards, bodies, rest, round, false).await?;
            outcome.full.extend(again.full);
        }
        if outcome.full.is_empty() {
            break;
        }
        found = Members {
            channels: outcome.full,
            readers,
        };
    }
    Ok(())
}

struct Members {
    channels: Vec<ChannelName>,
    /// The queues whose process reads envelopes.
    readers: HashSet<String>,
}

async fn members(shards: &Shards, group: &GroupName) -> Result<Members, Error> {
    let shard = shards.get(shards.ring.index(group.as_str()));
    let command = script::MEMBERS
        .command([shard.keys.group(group.as_str())], 256)
        .int(shards.group_expiry_ms())
        .arg(shard.keys.expired())
        .arg(shard.keys.reader())
        .int(DIGEST_DIGITS);
    let reply = script::MEMBERS.run(&shard.server, command).await?;
    let lists = reply
        .into_array()
        .and_then(|lists| <[Reply; 2]>::try_from(lists).ok());
    let Some([members, readers]) = lists else {
        return Err(misunderstood(shard));
    };
    let texts = |list: Reply| {
        let items = list.into_array().unwrap_or_default().into_iter();
        items
            .filter_map(Reply::into_bytes)
            .filter_map(|text| String::from_utf8(text.into()).ok())
    };
    Ok(Members {
        // Another implementation may have added what is no name; nobody could receive there.
        channels: texts(members)
            .filter_map(|name| ChannelName::new(name).ok())
            .collect(),
        readers: texts(readers).collect(),
    })
}

/// What became of a group send.
#[derive(Default)]
struct Outcome {
    /// The queues that were passed over because messages had expired there.
    passed_over: HashSet<String>,
    /// Normal channels whose share at the server asked is used up; others may have room.
    full: Vec<ChannelName>,
    dead: Vec<Dead>,
}

/// Gives every server its part.
///
/// A normal channel gets what is for groups on one server, so that what expired there is found;
/// on the next one in the next round, if its share is used up.
async fn deliver(
    shards: &Arc<Shards>,
    bodies: &Bodies<'_>,
    members: Members,
    round: usize,
    pass_over: bool,
) -> Result<Outcome> {
    let mut queues: BTreeMap<(usize, String), Vec<ChannelName>> = BTreeMap::new();
    for channel in members.channels {
        let shard = (shards.ring.index(channel.non_local()) + round) % shards.ring.len();
        let queue = channel.non_local().to_owned();
        queues.entry((shard, queue)).or_default().push(channel);
    }
    let mut requests: BTreeMap<usize, Vec<Delivery>> = BTreeMap::new();
    for ((shard, queue), channels) in queues {
        let enveloped = members.readers.contains(&queue) && channels.len() > 1;
        let normal = shards.ring.home(&channels[0]).is_none();
        let mut delivery = Delivery {
            capacity: shards.capacity_of(&channels[0], shard),
            elsewhere: (normal && round + 1 < shards.ring.len()).then(|| channels[0].clone()),
            queue,
            parts: Vec::new(),
        };
        if enveloped {
            for channels in channels.chunks(envelope::MAX_MEMBERS) {
                delivery.parts.push(bodies.enveloped(shards, channels)?);
            }
        } else {
            for channel in &channels {
                delivery.parts.push(bodies.single(shards, channel)?);
            }
        }
        requests.entry(shard).or_default().push(delivery);
    }
    let sending = requests
        .into_iter()
        .map(|(shard, deliveries)| deliver_at(shards, shard, bodies, deliveries, pass_over));
    let mut sum = Outcome::default();
    for outcome in join_all(sending).await {
        let Outcome {
            passed_over,
            full,
            dead,
        } = outcome?;
        sum.passed_over.extend(passed_over);
        sum.full.extend(full);
        sum.dead.extend(dead);
    }
    shards.expire(&sum.dead).await?;
    Ok(sum)
}

/// What one queue gets.
struct Delivery {
    queue: String,
    capacity: i128,
    /// The channel, if other servers may take what this one has no room for.
    elsewhere: Option<ChannelName>,
    parts: Vec<Part>,
}

/// One body.
struct Part {
    kind: &'static str,
    /// The channel's name or the body, depending on the kind.
    value: Bytes,
    tail: String,
    members: usize,
}

async fn deliver_at(
    shards: &Shards,
    shard: usize,
    bodies: &Bodies<'_>,
    deliveries: Vec<Delivery>,
    pass_over: bool,
) -> Result<Outcome, Error> {
    let shard = shards.get(shard);
    let mut requests = Vec::new();
    let mut batch: Vec<(&Delivery, &[Part])> = Vec::new();
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
    let mut full = 0;
    let sending = requests.iter().map(async |batch| {
        let command = command(shards, shard, bodies, batch, pass_over);
        script::DELIVER.run(&shard.server, command).await
    });
    for (batch, reply) in requests.iter().zip(join_all(sending).await) {
        let results = reply?.into_array().unwrap_or_default();
        for ((delivery, _), result) in batch.iter().zip(results) {
            let (delivered, missed, expired) =
                read_result(delivery, result).ok_or_else(|| misunderstood(shard))?;
            if delivered < 0 {
                outcome.passed_over.insert(delivery.queue.clone());
            }
            match &delivery.elsewhere {
                Some(channel) if missed > 0 => outcome.full.push(channel.clone()),
                _ => full += missed,
            }
            outcome.dead.extend(expired);
        }
    }
    if full > 0 {
        shards.counters.group_full(full);
        tracing::debug!(
            members = full,
            "members of a group missed a message: channel full"
        );
    }
    Ok(outcome)
}

fn command(
    shards: &Shards,
    shard: &Shard,
    bodies: &Bodies<'_>,
    batch: &[(&Delivery, &[Part])],
    pass_over: bool,
) -> Command {
    let keys = batch
        .iter()
        .map(|(delivery, _)| shard.keys.queue(&delivery.queue));
    let mut command = script::DELIVER
        .command(keys, bodies.plain.len() + bodies.named.len() + 512)
        .arg(shard.keys.prefix())
        .int(shards.expiry_ms())
        .arg(shard.keys.global_statistics())
        .int(u8::from(pass_over))
        .arg(&bodies.plain)
        .arg(&bodies.named);
    for (delivery, parts) in batch {
        command.push_int(delivery.capacity);
        command.push(shard.keys.statistics(&delivery.queue));
        command.push_int(u8::from(delivery.elsewhere.is_none()));
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

fn read_result(delivery: &Delivery, result: Reply) -> Option<(i64, u64, Vec<Dead>)> {
    let [delivered, full, dead] = <[Reply; 3]>::try_from(result.into_array()?).ok()?;
    Some((
        delivered.as_int()?,
        u64::try_from(full.as_int()?).ok()?,
        read_dead(&delivery.queue, dead)?,
    ))
}

/// The forms of one message that members get.
struct Bodies<'m> {
    message: &'m Message,
    /// Not encrypted.
    encoded: Bytes,
    /// What normal and single-reader channels get.
    plain: Bytes,
    /// What process-specific channels get, up to the name of the channel; empty if every channel
    /// needs a body of its own, because bodies are encrypted.
    named: Bytes,
}

impl<'m> Bodies<'m> {
    fn new(shards: &Shards, message: &'m Message) -> Result<Self> {
        let plain = shards.codec.encode(message)?;
        let encoded = Codec::new().encode(message)?;
        let encrypted = plain != encoded;
        let named = if encrypted {
            Bytes::new()
        } else {
            named(&encoded, message.len())
        };
        Ok(Self {
            message,
            encoded,
            plain,
            named,
        })
    }

    fn single(&self, shards: &Shards, channel: &ChannelName) -> Result<Part> {
        let (kind, value) = match channel.kind() {
            ChannelKind::ProcessSpecific if self.named.is_empty() => {
                ("whole", shards.codec.encode_for(channel, self.message)?)
            }
            ChannelKind::ProcessSpecific => {
                ("named", Bytes::copy_from_slice(channel.as_str().as_bytes()))
            }
            _ => ("plain", Bytes::new()),
        };
        Ok(Part {
            kind,
            value,
            tail: shards.unique.tail(&digest(channel.as_str()), false),
            members: 1,
        })
    }

    fn enveloped(&self, shards: &Shards, channels: &[ChannelName]) -> Result<Part> {
        let locals = channels
            .iter()
            .map(|channel| Value::from(channel.local_part().unwrap_or("")));
        let queue = channels[0].non_local();
        Ok(Part {
            kind: "whole",
            value: envelope::seal(&shards.codec, &self.encoded, locals.collect())?,
            tail: shards.unique.tail(&digest(queue), true),
            members: channels.len(),
        })
    }
}

/// The encoded map `encoded` with one more entry, the channel's name, whose value is missing.
fn named(encoded: &[u8], entries: usize) -> Bytes {
    let head = match entries {
        0..=15 => 1,
        16..=0xffff => 3,
        _ => 5,
    };
    let mut named = Vec::with_capacity(encoded.len() + 24);
    match entries + 1 {
        entries @ 0..=15 => named.push(0x80 | entries as u8),
        entries @ 16..=0xffff => {
            named.push(0xde);
            named.extend_from_slice(&(entries as u16).to_be_bytes());
        }
        entries => {
            named.push(0xdf);
            named.extend_from_slice(&(entries as u32).to_be_bytes());
        }
    }
    named.extend_from_slice(&encoded[head..]);
    named.push(0xa0 | CHANNEL_KEY.len() as u8);
    named.extend_from_slice(CHANNEL_KEY.as_bytes());
    named.into()
}

/// Waits for all of `futures`, which make progress together.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    futures_util::future::join_all(futures).await
}

fn misunderstood(shard: &Shard) -> Error {
    let reason = "an answer about groups is not as it should be";
    Error::protocol(shard.server.name(), reason)
}

#[cfg(test)]
mod tests {
    use asgiref::message;

    use super::*;

    #[test]
    fn a_named_body_is_what_the_codec_makes() {
        let codec = Codec::new();
        for entries in [0, 1, 14, 15, 16, 17, 70_000] {
            let mut message = message! {};
            for entry in 0..entries {
                message.insert(format!("{entry}"), entry);
            }
            let encoded = codec.encode(&message).unwrap();
            for name in ["p!x", "process.specific.name.of.forty.bytes!XxxxXxxx"] {
                let channel = ChannelName::new(name).unwrap();
                let mut body = named(&encoded, message.len()).to_vec();
                if name.len() < 32 {
                    body.push(0xa0 | name.len() as u8);
                } else {
                    body.extend([0xd9, name.len() as u8]);
                }
                body.extend(name.as_bytes());
                assert_eq!(codec.encode_for(&channel, &message).unwrap(), body);
            }
        }
    }
}
