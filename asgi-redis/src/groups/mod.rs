//! The groups extension.
//!
//! A group send asks the group's server for the members and then gives each server concerned one
//! request for all members there. Both cost little for each member: the members come as they are
//! stored, and what is rare is found out by the server while it delivers. If messages have
//! expired on the channels of a queue, or its process does not read envelopes, that queue is
//! passed over and served in a request of its own; what was learnt is kept in mind for a while.

mod bodies;
mod deliver;
mod hints;
mod members;

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
use deliver::{Form, Pass, PassOver, deliver};

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
        self.send_to_some(group, &message, &|_| true).await?;
        Ok(())
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
        // Also finds out what is wrong with the message if the group is empty.
        let bodies = Bodies::new(shards, message)?;
        let (members, pass_over) = if shards.hints.has_expired(group) {
            let members = members::checked(shards, group).await?;
            (members, PassOver::ExpiredNow)
        } else {
            (members::stored(shards, group).await?, PassOver::Expired)
        };
        let (wanted, others): (Vec<_>, _) =
            members.into_iter().partition(|channel| wanted(channel));
        send_to(shards, group, &bodies, wanted, pass_over).await?;
        Ok(others)
    }
}

async fn send_to(
    shards: &Arc<Shards>,
    group: &GroupName,
    bodies: &Bodies<'_>,
    mut members: Vec<ChannelName>,
    pass_over: PassOver,
) -> Result<()> {
    // A normal channel that is full at one server is tried at the next one in the next round.
    for round in 0..shards.ring.len() {
        let mut full = Vec::new();
        let mut passes = vec![Pass {
            members,
            pass_over,
            form: Form::Shared,
        }];
        while let Some(mut pass) = passes.pop() {
            let outcome = deliver(shards, bodies, &pass, round).await?;
            full.extend(outcome.full);
            if !outcome.passed_over.is_empty() {
                // On these queues messages had expired, so that some of the channels may not be
                // members any more.
                shards.hints.note_expired(group);
                let mut members = members::checked(shards, group).await?;
                members.retain(|channel| outcome.passed_over.contains(channel.non_local()));
                passes.push(Pass {
                    members,
                    pass_over: PassOver::Nothing,
                    form: pass.form,
                });
            }
            if !outcome.not_readers.is_empty() {
                for queue in &outcome.not_readers {
                    shards.hints.note_no_reader(queue);
                }
                pass.members
                    .retain(|channel| outcome.not_readers.contains(channel.non_local()));
                pass.form = Form::Single;
                passes.push(pass);
            }
        }
        if full.is_empty() {
            break;
        }
        members = full;
    }
    Ok(())
}

fn misunderstood(shard: &Shard) -> Error {
    let reason = "an answer about groups is not as it should be";
    Error::protocol(shard.server.name(), reason)
}
