//! Normal channels in one layer, the others in another.

/// Makes a type behave as the layer in one of its fields, for a layer that wraps another: implements
/// [`ChannelLayer`](crate::ChannelLayer) and `Display`.
///
/// ```
/// use asgiref::{ChannelLayer as _, InMemoryChannelLayer};
///
/// #[derive(Debug)]
/// struct MyChannelLayer {
///     layer: InMemoryChannelLayer,
/// }
///
/// asgiref::forward_channel_layer!(MyChannelLayer, layer);
///
/// let layer = MyChannelLayer { layer: InMemoryChannelLayer::new() };
/// assert!(layer.as_groups().is_some());
/// ```
#[macro_export]
macro_rules! forward_channel_layer {
    ($type:ident, $layer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        #[$crate::async_trait]
        impl $crate::ChannelLayer for $type {
            async fn send(
                &self,
                channel: &$crate::ChannelName,
                message: $crate::Message,
            ) -> $crate::Result<()> {
                self.$layer.send(channel, message).await
            }

            async fn receive(
                &self,
                channels: &[$crate::ChannelName],
            ) -> $crate::Result<($crate::ChannelName, $crate::Message)> {
                self.$layer.receive(channels).await
            }

            async fn try_receive(
                &self,
                channels: &[$crate::ChannelName],
            ) -> $crate::Result<Option<($crate::ChannelName, $crate::Message)>> {
                self.$layer.try_receive(channels).await
            }

            async fn new_channel(
                &self,
                pattern: &$crate::ChannelPattern,
            ) -> $crate::Result<$crate::ChannelName> {
                self.$layer.new_channel(pattern).await
            }

            fn attach(
                &self,
                channels: &[$crate::ChannelName],
                recipient: ::std::sync::Arc<dyn $crate::Recipient>,
            ) -> ::std::option::Option<$crate::Attachment> {
                self.$layer.attach(channels, recipient)
            }

            async fn settle(&self) {
                self.$layer.settle().await;
            }

            fn is_process_local(&self) -> bool {
                self.$layer.is_process_local()
            }

            fn as_groups(&self) -> Option<&dyn $crate::Groups> {
                self.$layer.as_groups()
            }

            fn as_flush(&self) -> Option<&dyn $crate::Flush> {
                self.$layer.as_flush()
            }

            fn as_statistics(&self) -> Option<&dyn $crate::Statistics> {
                self.$layer.as_statistics()
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.$layer.fmt(f)
            }
        }
    };
}

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;
use crate::layer::{ChannelLayer, Flush, Groups, Statistics};
use crate::message::Message;
use crate::name::{ChannelKind, ChannelName, ChannelPattern, GroupName};
use crate::statistics::{ChannelStatistics, GlobalStatistics};

/// One in so many receives asks the layer of the typed channels first.
const ASK_FIRST: u32 = 4;

/// Groups some of whose members are left to the caller.
#[async_trait]
pub trait SelectiveGroups: Groups {
    /// Sends `message` to the members of `group` that are `wanted`; returns the others.
    ///
    /// # Errors
    ///
    /// As [`Groups::send_group`].
    async fn send_to_some(
        &self,
        group: &GroupName,
        message: &Message,
        wanted: &(dyn for<'n> Fn(&'n ChannelName) -> bool + Send + Sync),
    ) -> Result<Vec<ChannelName>>;
}

/// A channel layer made of two: normal channels, which carry requests, stay in one that is near,
/// such as shared memory; what must find its way to a certain process, and groups, go through one
/// that reaches everywhere.
///
/// A normal channel that is a member of a group gets messages of senders near it only.
#[derive(Clone, Debug)]
pub struct SplitChannelLayer<N, T> {
    name: &'static str,
    normal: N,
    typed: T,
}

impl<N, T> SplitChannelLayer<N, T> {
    /// A layer that is called `name` in texts, with normal channels in `normal` and all others in
    /// `typed`.
    pub const fn new(name: &'static str, normal: N, typed: T) -> Self {
        Self {
            name,
            normal,
            typed,
        }
    }

    /// The layer of single-reader and process-specific channels and of groups.
    pub const fn typed(&self) -> &T {
        &self.typed
    }
}

impl<N: ChannelLayer, T: ChannelLayer> SplitChannelLayer<N, T> {
    /// The layer that carries a channel.
    fn of(&self, channel: &ChannelName) -> &dyn ChannelLayer {
        match channel.kind() {
            ChannelKind::Normal => &self.normal,
            _ => &self.typed,
        }
    }
}

/// The normal channels, and the others.
fn split(channels: &[ChannelName]) -> Result<(Vec<ChannelName>, Vec<ChannelName>)> {
    channels
        .iter()
        .try_for_each(ChannelName::check_receivable)?;
    let is_normal = |channel: &ChannelName| channel.kind() == ChannelKind::Normal;
    Ok(channels.iter().cloned().partition(is_normal))
}

#[async_trait]
impl<N, T> ChannelLayer for SplitChannelLayer<N, T>
where
    N: ChannelLayer + Flush + Statistics,
    T: ChannelLayer + SelectiveGroups + Flush + Statistics,
{
    // ---- ASGI API

    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        self.of(channel).send(channel, message).await
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        let (normal, typed) = split(channels)?;
        // What is near answers sooner than what is not, so that a busy normal channel would starve
        // the others if they were not asked for first now and then.
        let both = !normal.is_empty() && !typed.is_empty();
        if both
            && rand::random_ratio(1, ASK_FIRST)
            && let Some(received) = self.typed.try_receive(&typed).await?
        {
            return Ok(received);
        }
        // An empty list waits for ever. The one that is dropped has not got a message, or gives
        // it back.
        tokio::select! {
            received = self.normal.receive(&normal) => received,
            received = self.typed.receive(&typed) => received,
        }
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        let (normal, typed) = split(channels)?;
        let mut layers: [(&dyn ChannelLayer, _); 2] =
            [(&self.normal, normal), (&self.typed, typed)];
        // So that busy channels of one kind do not starve those of the other.
        if rand::random() {
            layers.reverse();
        }
        for (layer, channels) in layers {
            if channels.is_empty() {
                continue;
            }
            if let Some(received) = layer.try_receive(&channels).await? {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        self.typed.new_channel(pattern).await
    }

    async fn settle(&self) {
        self.normal.settle().await;
        self.typed.settle().await;
    }

    // ---- Extensions

    fn as_groups(&self) -> Option<&dyn Groups> {
        Some(self)
    }

    fn as_flush(&self) -> Option<&dyn Flush> {
        Some(self)
    }

    fn as_statistics(&self) -> Option<&dyn Statistics> {
        Some(self)
    }
}

#[async_trait]
impl<N, T> Groups for SplitChannelLayer<N, T>
where
    N: ChannelLayer + Flush + Statistics,
    T: ChannelLayer + SelectiveGroups + Flush + Statistics,
{
    fn group_expiry(&self) -> Duration {
        self.typed.group_expiry()
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        self.typed.group_add(group, channel).await
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        self.typed.group_discard(group, channel).await
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        self.typed.group_channels(group).await
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let typed = |channel: &ChannelName| channel.kind() != ChannelKind::Normal;
        for channel in self.typed.send_to_some(group, &message, &typed).await? {
            match self.normal.send(&channel, message.clone()).await {
                Ok(()) => {}
                // Counted by the layer.
                Err(error) if error.is_channel_full() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<N, T> Flush for SplitChannelLayer<N, T>
where
    N: ChannelLayer + Flush + Statistics,
    T: ChannelLayer + SelectiveGroups + Flush + Statistics,
{
    async fn flush(&self) -> Result<()> {
        self.normal.flush().await?;
        self.typed.flush().await
    }
}

#[async_trait]
impl<N, T> Statistics for SplitChannelLayer<N, T>
where
    N: ChannelLayer + Flush + Statistics,
    T: ChannelLayer + SelectiveGroups + Flush + Statistics,
{
    async fn global_statistics(&self) -> Result<GlobalStatistics> {
        let mut sums = self.typed.global_statistics().await?;
        let here = self.normal.global_statistics().await?;
        sums.messages_count += here.messages_count;
        sums.messages_count_per_second += here.messages_count_per_second;
        sums.messages_pending += here.messages_pending;
        sums.messages_max_age = sums.messages_max_age.max(here.messages_max_age);
        sums.channel_full_count += here.channel_full_count;
        sums.channel_full_count_per_second += here.channel_full_count_per_second;
        Ok(sums)
    }

    async fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics> {
        match channel.kind() {
            ChannelKind::Normal => self.normal.channel_statistics(channel).await,
            _ => self.typed.channel_statistics(channel).await,
        }
    }
}

impl<N: fmt::Display, T: fmt::Display> fmt::Display for SplitChannelLayer<N, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}, {})", self.name, self.normal, self.typed)
    }
}
