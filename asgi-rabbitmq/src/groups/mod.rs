//! The groups extension.
//!
//! A group's members are in the memory of the processes that send to it; see `news`. A group send
//! asks for the length of each member's queue and then puts a message there, or one envelope for
//! all members at one process, if that reads envelopes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelName, GroupName, Groups, Message, Result, SelectiveGroups};
use async_trait::async_trait;
use futures_util::future::join_all;

use crate::config::GroupsForm;
use crate::connection::Session;
use crate::error::LAYER;
use crate::layer::RabbitmqChannelLayer;
use crate::news::{Event, now};
use crate::outbox::Parcel;

pub(crate) mod compatible;
mod envelopes;
mod logs;

pub(crate) use envelopes::Readers;
pub(crate) use logs::Logs;

#[async_trait]
impl Groups for RabbitmqChannelLayer {
    fn group_expiry(&self) -> Duration {
        self.site().config.membership_expiry()
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let site = self.site();
        let session = site.broker.session().await?;
        if site.groups == GroupsForm::Compatible {
            return compatible::add(site, &session, group, channel).await;
        }
        let logs = &self.inner.logs;
        logs.ensure(site, &session, group).await?;
        let event = Event::Joined {
            channel: channel.clone(),
            time: now(),
        };
        let (bound, told) = tokio::join!(
            logs.bind(site, &session, group, channel),
            self.inner.ear.tell_group(&session, group, &event)
        );
        bound?;
        told?;
        Ok(())
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let site = self.site();
        let session = site.broker.session().await?;
        if site.groups == GroupsForm::Compatible {
            return Ok(compatible::discard(site, &session, group, channel).await?);
        }
        let event = Event::Left {
            channel: channel.clone(),
        };
        self.inner.ear.tell_group(&session, group, &event).await?;
        Ok(())
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        let site = self.site();
        if site.groups == GroupsForm::Compatible {
            let reason = "groups in the compatible form cannot list their members";
            return Err(asgiref::Error::backend(LAYER, reason));
        }
        let session = site.broker.session().await?;
        let members = self.inner.ear.members(&session, group).await?;
        Ok(members.into_iter().collect())
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        self.send_to_some(group, &message, &|_| true).await?;
        Ok(())
    }
}

#[async_trait]
impl SelectiveGroups for RabbitmqChannelLayer {
    async fn send_to_some(
        &self,
        group: &GroupName,
        message: &Message,
        wanted: &(dyn for<'n> Fn(&'n ChannelName) -> bool + Send + Sync),
    ) -> Result<Vec<ChannelName>> {
        let site = self.site();
        // Also finds out what is wrong with the message if the group is empty.
        let body = site.codec.encode(message)?;
        let session = site.broker.session().await?;
        if site.groups == GroupsForm::Compatible {
            compatible::send(site, &session, group, message).await?;
            return Ok(Vec::new());
        }
        let members = self.inner.ear.members(&session, group).await?;
        let (members, others): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|channel| wanted(channel));
        let mut queues: BTreeMap<ChannelName, Vec<ChannelName>> = BTreeMap::new();
        for channel in members {
            queues
                .entry(channel.to_non_local())
                .or_default()
                .push(channel);
        }
        let sending = queues.iter().map(async |(queue, channels)| {
            let parcels = self
                .parcels(&session, queue, channels, message, &body)
                .await?;
            let members: Vec<usize> = parcels.iter().map(Parcel::members).collect();
            let sent = self.inner.outbox.send(queue, parcels).await?;
            Ok::<usize, asgiref::Error>(members[sent..].iter().sum())
        });
        let mut missed = 0;
        for dropped in join_all(sending).await {
            missed += dropped? as u64;
        }
        site.counters.group_full(missed);
        self.inner.dropped.add(group, missed);
        Ok(others)
    }
}

impl RabbitmqChannelLayer {
    /// What the members on one queue get.
    async fn parcels(
        &self,
        session: &Arc<Session>,
        queue: &ChannelName,
        channels: &[ChannelName],
        message: &Message,
        body: &asgiref::Bytes,
    ) -> Result<Vec<Parcel>> {
        if channels.len() > 1
            && self
                .inner
                .readers
                .is_one(self.site(), session, queue)
                .await?
        {
            return self.enveloped(channels, message);
        }
        let single = channels.iter().map(|channel| Parcel {
            body: body.clone(),
            local: channel.local_part().map(str::to_owned),
            members: None,
        });
        Ok(single.collect())
    }
}
