//! A group whose members' channels are all on the group's server: one request for everything.

use asgiref::{ChannelName, GroupName, Result};
use bytes::Bytes;

use crate::connection::{Command, Reply};
use crate::keys::CHANNEL_DIGITS;
use crate::script;
use crate::shard::Shards;

use super::bodies::Bodies;
use super::deliver::{Outcome, PassOver};
use super::{members, misunderstood};

/// How many members the server serves by itself. With more of them a script takes longer to sort
/// them than it takes to ask for them, and others wait for it.
const MAX_MEMBERS: u32 = 200;

/// The largest message, in bytes, that is sent without knowing whether the members are too many.
const MAX_BODY: usize = 256 << 10;

/// What became of it.
pub(super) struct Whole {
    pub(super) outcome: Outcome,
    /// The members who got nothing yet.
    pub(super) left: Vec<ChannelName>,
}

/// Has the server put a message on the channels of all members.
///
/// Nothing was done if there is no answer. With several servers the members come first, because
/// their servers are computed here; in a cluster a script must be told its keys; with encryption
/// bodies are made here; and large groups are served faster piece by piece.
pub(super) async fn deliver(
    shards: &Shards,
    group: &GroupName,
    bodies: &Bodies<'_>,
    pass_over: PassOver,
) -> Result<Option<Whole>> {
    let [shard] = &shards.all[..] else {
        return Ok(None);
    };
    let is_suitable = !shards.is_cluster
        && !bodies.are_encrypted()
        && bodies.plain.len() <= MAX_BODY
        && !shards.hints.is_large(group);
    if !is_suitable {
        return Ok(None);
    }
    let reply = script::GROUP
        .run(&shard.server, command(shards, group, bodies, pass_over))
        .await?;
    if reply == Reply::Nil {
        shards.hints.note_large(group);
        return Ok(None);
    }
    let whole = read(shards, reply).ok_or_else(|| misunderstood(shard))?;
    whole.outcome.note(shards, group).await?;
    Ok(Some(whole))
}

fn command(
    shards: &Shards,
    group: &GroupName,
    bodies: &Bodies<'_>,
    pass_over: PassOver,
) -> Command {
    let keys = &shards.get(0).keys;
    let (high, low, count) = shards.unique.parts();
    let mut command = script::GROUP
        .command(
            [keys.group(group.as_str())],
            bodies.plain.len() + bodies.named.len() + 512,
        )
        .arg(keys.prefix())
        .int(shards.expiry_ms())
        .arg(keys.stats_prefix())
        .arg(keys.global_statistics())
        .int(pass_over as u8)
        .arg(&bodies.plain)
        .arg(&bodies.named)
        .arg(keys.expired())
        .arg(keys.reader())
        .int(shards.group_expiry_ms())
        .int(MAX_MEMBERS)
        .int(u8::from(matches!(pass_over, PassOver::ExpiredNow)))
        .arg(format!("{high:03x}"))
        .int(CHANNEL_DIGITS as i128)
        .int(low)
        .arg(format!("{count:04x}"));
    let capacities = shards.config.capacities();
    if capacities.is_uniform() {
        command.push_int(capacities.default_capacity() as i128);
    } else {
        command.push("");
        for queue in shards.hints.queues() {
            command.push(&queue);
            command.push_int(capacities.of(&queue) as i128);
        }
    }
    command
}

fn read(shards: &Shards, reply: Reply) -> Option<Whole> {
    let [left, results] = reply.into_array()?.try_into().ok()?;
    let left = members::read(left)?;
    for channel in &left {
        shards.hints.note_queue(channel.non_local());
    }
    let mut outcome = Outcome::default();
    for result in results.into_array()? {
        let [queue, delivered, full, dead] = result.into_array()?.try_into().ok()?;
        let queue: Bytes = queue.into_bytes()?;
        let queue = str::from_utf8(&queue).ok()?;
        outcome.read(queue, [delivered, full, dead])?;
    }
    Some(Whole { outcome, left })
}
