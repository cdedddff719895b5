//! Who is in a group.

use std::sync::Arc;

use asgiref::{ChannelName, GroupName};
use bytestring::ByteString;

use crate::connection::{Command, Reply};
use crate::error::Result;
use crate::keys::CHANNEL_DIGITS;
use crate::script;
use crate::shard::Shards;

use super::misunderstood;

/// The members without those on which a message expired after they were added, who are forgotten.
/// The server looks at each of them.
pub(super) async fn checked(shards: &Shards, group: &GroupName) -> Result<Vec<ChannelName>> {
    let shard = shards.get(shards.ring.index(group.as_str()));
    let command = script::MEMBERS
        .command([shard.keys.group(group.as_str())], 256)
        .int(shards.group_expiry_ms())
        .arg(shard.keys.expired())
        .int(CHANNEL_DIGITS as i128);
    let reply = script::MEMBERS.run(&shard.server, command).await?;
    read(reply).ok_or_else(|| misunderstood(shard))
}

/// The members whose memberships have not expired, as they are stored: with those on which a
/// message may have expired. Many times cheaper for the server.
pub(super) async fn stored(shards: &Shards, group: &GroupName) -> Result<Vec<ChannelName>> {
    let shard = shards.get(shards.ring.index(group.as_str()));
    let key = shard.keys.group(group.as_str());
    let prune = script::PRUNE
        .command([&key], 64)
        .int(shards.group_expiry_ms());
    let range = Arc::new(Command::new("ZRANGE").arg(&key).int(0).int(-1));
    // The two go out together, in this order.
    let (pruned, members) = tokio::join!(
        script::PRUNE.run(&shard.server, prune),
        shard.server.call(&range)
    );
    let mut members = members?;
    if pruned?.as_int() != Some(0) {
        // The script may have been unknown and sent a second time, behind the other command.
        members = shard.server.call(&range).await?;
    }
    read(members).ok_or_else(|| misunderstood(shard))
}

/// Another implementation may have added what is no name; nobody could receive there.
pub(super) fn read(members: Reply) -> Option<Vec<ChannelName>> {
    let names = members.into_array()?.into_iter();
    let channels = names
        .filter_map(Reply::into_bytes)
        .filter_map(|name| ByteString::try_from(name).ok())
        .filter_map(|name| ChannelName::new(name).ok());
    Some(channels.collect())
}
