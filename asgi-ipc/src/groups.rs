//! The groups extension.

use std::collections::BTreeSet;
use std::time::Duration;

use asgiref::{ChannelName, GroupName, Groups, Message, Result};
use async_trait::async_trait;

use crate::error::Error;
use crate::layer::IpcChannelLayer;
use crate::store::NoRoom;

#[async_trait]
impl Groups for IpcChannelLayer {
    fn group_expiry(&self) -> Duration {
        self.shared.config.membership_expiry()
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let name = channel.non_local();
        let local = channel.local_part().unwrap_or_default();
        let expiry = self.group_expiry();
        let added = self
            .shared
            .run(|locked| locked.add(group.as_str(), name, local, expiry))?;
        added.map_err(|no_room| match no_room {
            NoRoom::Groups => Error::GroupMemoryFull.into(),
            NoRoom::Channels => Error::MessageMemoryFull.into(),
        })
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let name = channel.non_local();
        let local = channel.local_part().unwrap_or_default();
        let discarded = self
            .shared
            .run(|locked| locked.discard(group.as_str(), name, local));
        Ok(discarded?)
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        let members = self.shared.run(|locked| locked.members(group.as_str()))?;
        // What is no name was not put there by this crate.
        Ok(members
            .into_iter()
            .filter_map(|name| ChannelName::new(name).ok())
            .collect())
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let shared = &self.shared;
        let bytes = shared.codec.encode(&message)?;
        let capacities = shared.config.capacities();
        let expiry = shared.config.message_expiry();
        // Once: whoever has got the message must not get it again.
        let missed = shared.run_once(|locked| {
            locked.send_group(group.as_str(), &bytes, |name| capacities.of(name), expiry)
        })?;
        shared.dropped.add(group, missed);
        Ok(())
    }
}
