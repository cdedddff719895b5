//! The groups extension.
//!
//! With one server, a send to a group that is not large is one request, for the server knows the
//! members. Otherwise it asks the group's server for the members and then gives all servers
//! concerned one request each, at once, for all members there: which server a channel is on is
//! computed here. Both cost little for each member: the members come as they are stored, and what
//! is rare is found out by the server while it delivers. If messages have expired on the channels
//! of a queue, or its process does not read envelopes, that queue is passed over and served in a
//! request of its own; what was learnt is kept in mind for a while.

mod bodies;
mod deliver;
mod hints;
mod members;
mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelName, GroupName, Groups, Message, Result, SelectiveGroups};
use async_trait::async_trait;

use crate::connection::Command;
use crate::error::Error;
use crate::layer::RedisChannelLayer;
use crate::script;
use crate::shard::{Shard, Shards};

use bodies::Bodies;
use deliver::{Form, Outcome, Pass, PassOver, deliver};
use whole::Whole;

pub(crate) use hints::Hints;

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
        let members = members::checked(self.shards(), group).await?;
        Ok(members.into_iter().collect())
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let shards = self.shards();
        // Also finds out what is wrong with the message if the group is empty.
        let bodies = Bodies::new(shards, &message)?;
        let pass_over = pass_over(shards, group);
        let mut passes = Vec::new();
        match whole::deliver(shards, group, &bodies, pass_over).await? {
            Some(Whole { outcome, left }) => {
                passes.extend(second_look(shards, group, &outcome, Form::Shared).await?);
                passes.extend(Pass::new(left, pass_over));
            }
            None => {
                let members = members_of(shards, group, pass_over).await?;
                passes.extend(Pass::new(members, pass_over));
            }
        }
        serve(shards, group, &bodies, pass_over, passes).await
    }
}

#[async_trait]
impl SelectiveGroups for RedisChannelLayer {
    async fn send_to_some(
        &self,
        group: &GroupName,
        message: &Message,
        wanted: &(dyn for<'n> Fn(&'n ChannelName) -> bool + Send + Sync),
    ) -> Result<Vec<ChannelName>> {
        let shards = self.shards();
        let bodies = Bodies::new(shards, message)?;
        let pass_over = pass_over(shards, group);
        let members = members_of(shards, group, pass_over).await?;
        let (wanted, others): (Vec<_>, _) =
            members.into_iter().partition(|channel| wanted(channel));
        let passes = Pass::new(wanted, pass_over).into_iter().collect();
        serve(shards, group, &bodies, pass_over, passes).await?;
        Ok(others)
    }
}

/// Which queues are looked at again before they get a message.
fn pass_over(shards: &Shards, group: &GroupName) -> PassOver {
    if shards.hints.has_expired(group) {
        PassOver::ExpiredNow
    } else {
        PassOver::Expired
    }
}

/// The members, looked at one by one if that is not done later.
async fn members_of(
    shards: &Shards,
    group: &GroupName,
    pass_over: PassOver,
) -> Result<Vec<ChannelName>, Error> {
    match pass_over {
        PassOver::Expired => members::stored(shards, group).await,
        PassOver::ExpiredNow | PassOver::Nothing => members::checked(shards, group).await,
    }
}

async fn serve(
    shards: &Arc<Shards>,
    group: &GroupName,
    bodies: &Bodies<'_>,
    pass_over: PassOver,
    mut passes: Vec<Pass>,
) -> Result<()> {
    // A normal channel that is full at one server is tried at the next one in the next round.
    for round in 0..shards.ring.len() {
        let mut full = Vec::new();
        while let Some(mut pass) = passes.pop() {
            let outcome = deliver(shards, group, bodies, &pass, round).await?;
            passes.extend(second_look(shards, group, &outcome, pass.form).await?);
            if !outcome.not_readers.is_empty() {
                for channel in &outcome.not_readers {
                    shards.hints.note_no_reader(channel.non_local());
                }
                pass.members
                    .retain(|channel| outcome.not_readers.contains(channel));
                pass.form = Form::Single;
                passes.push(pass);
            }
            full.extend(outcome.full);
        }
        passes.extend(Pass::new(full, pass_over));
    }
    Ok(())
}

/// What is to be given to queues that were passed over: on these, messages had expired, so that some
/// of the channels may not be members any more.
async fn second_look(
    shards: &Shards,
    group: &GroupName,
    outcome: &Outcome,
    form: Form,
) -> Result<Option<Pass>, Error> {
    if !outcome.any_passed_over() {
        return Ok(None);
    }
    shards.hints.note_expired(group);
    let mut members = members::checked(shards, group).await?;
    members.retain(|channel| outcome.was_passed_over(channel));
    Ok(Some(Pass {
        members,
        pass_over: PassOver::Nothing,
        form,
    }))
}

fn misunderstood(shard: &Shard) -> Error {
    let reason = "an answer about groups is not as it should be";
    Error::protocol(shard.server.name(), reason)
}
