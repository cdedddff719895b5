//! Channels and groups as things to send to: on their own ([`Channel`], [`Group`]) and inside a
//! consumer ([`BufferedChannel`], [`BufferedGroup`]).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, ChannelLayerExt as _, ChannelName, GroupName, Message};

use crate::context::Context;
use crate::error::Result;

/// A channel of a channel layer, for code that runs outside consumers. Sending takes effect at
/// once.
///
/// Inside a consumer use [`Context::channel`], whose sends wait for the consumer's end.
#[derive(Clone, Debug)]
pub struct Channel {
    name: ChannelName,
    layer: Arc<dyn ChannelLayer>,
}

impl Channel {
    /// The channel `name` of `layer`.
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::InvalidName`].
    pub fn new<N>(name: N, layer: Arc<dyn ChannelLayer>) -> Result<Self>
    where
        N: TryInto<ChannelName, Error: Into<asgiref::Error>>,
    {
        let name = name.try_into().map_err(Into::into)?;
        Ok(Self { name, layer })
    }

    /// The channel's name.
    #[must_use]
    pub const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// The channel layer it belongs to.
    #[must_use]
    pub const fn layer(&self) -> &Arc<dyn ChannelLayer> {
        &self.layer
    }

    /// Puts `message` on the channel.
    ///
    /// # Errors
    ///
    /// As [`ChannelLayer::send`].
    pub async fn send(&self, message: impl Into<Message>) -> Result<()> {
        Ok(self.layer.send(&self.name, message.into()).await?)
    }

    /// Puts `message` on the channel; while it is full, waits and tries again for up to `limit`.
    ///
    /// # Errors
    ///
    /// As [`ChannelLayerExt::send_within`](asgiref::ChannelLayerExt::send_within).
    pub async fn send_within(&self, limit: Duration, message: impl Into<Message>) -> Result<()> {
        let message = message.into();
        Ok(self.layer.send_within(&self.name, message, limit).await?)
    }
}

/// A group of a channel layer, for code that runs outside consumers. Everything takes effect at
/// once.
///
/// Inside a consumer use [`Context::group`], whose sends wait for the consumer's end.
#[derive(Clone, Debug)]
pub struct Group {
    name: GroupName,
    layer: Arc<dyn ChannelLayer>,
}

impl Group {
    /// The group `name` of `layer`.
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::InvalidName`].
    pub fn new<N>(name: N, layer: Arc<dyn ChannelLayer>) -> Result<Self>
    where
        N: TryInto<GroupName, Error: Into<asgiref::Error>>,
    {
        let name = name.try_into().map_err(Into::into)?;
        Ok(Self { name, layer })
    }

    /// The group's name.
    #[must_use]
    pub const fn name(&self) -> &GroupName {
        &self.name
    }

    /// The channel layer it belongs to.
    #[must_use]
    pub const fn layer(&self) -> &Arc<dyn ChannelLayer> {
        &self.layer
    }

    /// Sends `message` to every member.
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::Unsupported`] if the layer has no groups, and as
    /// [`Groups::send_group`](asgiref::Groups::send_group); so for all methods.
    pub async fn send(&self, message: impl Into<Message>) -> Result<()> {
        let groups = self.layer.require_groups()?;
        Ok(groups.send_group(&self.name, message.into()).await?)
    }

    /// Makes `channel` a member; does nothing but restart its expiry if it is one.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn add(&self, channel: &ChannelName) -> Result<()> {
        let groups = self.layer.require_groups()?;
        Ok(groups.group_add(&self.name, channel).await?)
    }

    /// Ends the membership of `channel`; does nothing if it is no member.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn discard(&self, channel: &ChannelName) -> Result<()> {
        let groups = self.layer.require_groups()?;
        Ok(groups.group_discard(&self.name, channel).await?)
    }

    /// The members.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn channels(&self) -> Result<BTreeSet<ChannelName>> {
        let groups = self.layer.require_groups()?;
        Ok(groups.group_channels(&self.name).await?)
    }
}

/// A channel as a consumer sees it: what is sent waits until the consumer ends.
#[derive(Debug)]
pub struct BufferedChannel<'a> {
    context: &'a Context,
    channel: Channel,
}

impl<'a> BufferedChannel<'a> {
    pub(crate) const fn new(context: &'a Context, channel: Channel) -> Self {
        Self { context, channel }
    }

    /// The channel's name.
    #[must_use]
    pub const fn name(&self) -> &ChannelName {
        self.channel.name()
    }

    /// Holds `message` until the consumer ends, then sends it.
    pub fn send(&self, message: impl Into<Message>) {
        self.context.hold(
            self.channel.layer(),
            self.name().clone().into(),
            message.into(),
        );
    }

    /// Sends `message` now, before anything that is held.
    ///
    /// # Errors
    ///
    /// As [`ChannelLayer::send`].
    pub async fn send_immediately(&self, message: impl Into<Message>) -> Result<()> {
        let message = message.into();
        self.context.note_reply(self.name(), &message);
        self.channel.send(message).await
    }
}

/// A group as a consumer sees it: what is sent waits until the consumer ends; joining and leaving
/// take effect at once.
#[derive(Debug)]
pub struct BufferedGroup<'a> {
    context: &'a Context,
    group: Group,
}

impl<'a> BufferedGroup<'a> {
    pub(crate) const fn new(context: &'a Context, group: Group) -> Self {
        Self { context, group }
    }

    /// The group's name.
    #[must_use]
    pub const fn name(&self) -> &GroupName {
        self.group.name()
    }

    /// Holds `message` until the consumer ends, then sends it to every member.
    pub fn send(&self, message: impl Into<Message>) {
        self.context.hold(
            self.group.layer(),
            self.name().clone().into(),
            message.into(),
        );
    }

    /// Sends `message` to every member now, before anything that is held.
    ///
    /// # Errors
    ///
    /// As [`Group::send`].
    pub async fn send_immediately(&self, message: impl Into<Message>) -> Result<()> {
        self.group.send(message).await
    }

    /// Makes `channel` a member now; does nothing but restart its expiry if it is one.
    ///
    /// # Errors
    ///
    /// As [`Group::add`].
    pub async fn add(&self, channel: &ChannelName) -> Result<()> {
        self.group.add(channel).await
    }

    /// Ends the membership of `channel` now; does nothing if it is no member.
    ///
    /// # Errors
    ///
    /// As [`Group::discard`].
    pub async fn discard(&self, channel: &ChannelName) -> Result<()> {
        self.group.discard(channel).await
    }

    /// The members.
    ///
    /// # Errors
    ///
    /// As [`Group::channels`].
    pub async fn channels(&self) -> Result<BTreeSet<ChannelName>> {
        self.group.channels().await
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name, f)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name, f)
    }
}
