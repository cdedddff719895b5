//! Normal channels in shared memory on this machine, the others in Redis.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use asgi_ipc::IpcChannelLayer;
use asgiref::config::{LayerConfigBuilder, LayerSettings};
use asgiref::{
    ChannelKind, ChannelLayer, ChannelName, ChannelPattern, ChannelStatistics, Error, Flush,
    GlobalStatistics, GroupName, Groups, Message, Result, Statistics,
};
use async_trait::async_trait;

use crate::config::{Common, RedisChannelLayerBuilder, common_setters};
use crate::connection::{Address, PORT};
use crate::counters::Figures;
use crate::layer::RedisChannelLayer;

/// One in so many receives asks the servers before it looks into the shared memory.
const ASK_FIRST: u32 = 4;

/// A channel layer for sites whose every machine has protocol servers and workers: normal
/// channels, which carry requests, stay on the machine, in shared memory; what must find its way
/// to a certain process, and groups, go through Redis.
///
/// Every machine with a protocol server needs workers for all normal channels. A normal channel
/// that is a member of a group gets messages of senders on its own machine only. What is in shared
/// memory is not encrypted.
///
/// ```no_run
/// use asgi_redis::RedisLocalChannelLayer;
///
/// let layer = RedisLocalChannelLayer::builder()
///     .host("redis://10.0.0.1:6379/0")
///     .prefix("site:")
///     .build()?;
/// # let _ = layer;
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RedisLocalChannelLayer {
    redis: RedisChannelLayer,
    ipc: IpcChannelLayer,
}

/// Makes a [`RedisLocalChannelLayer`].
#[derive(Debug, Default)]
pub struct RedisLocalChannelLayerBuilder {
    common: Common,
    hosts: Vec<Address>,
    message_memory: Option<u64>,
    directory: Option<PathBuf>,
    fault: Option<Error>,
}

impl RedisLocalChannelLayerBuilder {
    common_setters!();

    /// Adds a server, as [`RedisChannelLayerBuilder::host`].
    #[must_use]
    pub fn host(mut self, url: impl AsRef<str>) -> Self {
        match url.as_ref().parse() {
            Ok(address) => self.hosts.push(address),
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
        self
    }

    /// Adds several servers, as [`RedisChannelLayerBuilder::hosts`].
    #[must_use]
    pub fn hosts<U: AsRef<str>>(self, urls: impl IntoIterator<Item = U>) -> Self {
        urls.into_iter().fold(self, Self::host)
    }

    /// How much shared memory there is for messages, in bytes; the default of `asgi-ipc` unless
    /// set. Must be the same in all processes of a machine.
    #[must_use]
    pub const fn message_memory(mut self, bytes: u64) -> Self {
        self.message_memory = Some(bytes);
        self
    }

    /// Where the shared memory is; `/dev/shm` unless set.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Makes the layer. The segment, which is called as the prefix without its colons, is made or
    /// opened; nothing is connected before it is needed.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option that cannot be used; [`Error::Backend`] if the
    /// segment cannot be opened.
    pub fn build(mut self) -> Result<RedisLocalChannelLayer> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let config = std::mem::take(&mut self.common.config).build()?;
        self.common.config = LayerConfigBuilder::new().config(config.clone());
        let mut ipc = IpcChannelLayer::builder()
            .prefix(self.common.prefix.replace(':', ""))
            .config(config);
        if let Some(bytes) = self.message_memory {
            ipc = ipc.message_memory(bytes);
        }
        if let Some(directory) = self.directory {
            ipc = ipc.directory(directory);
        }
        // The segment comes last: it stays, and a mistake in the other options should leave none.
        let redis = RedisChannelLayerBuilder::with(self.common, self.hosts).build()?;
        Ok(RedisLocalChannelLayer {
            redis,
            ipc: ipc.build()?,
        })
    }
}

impl RedisLocalChannelLayer {
    /// The schemes of the URLs that mean this layer.
    pub const SCHEMES: &[&str] = &["redis+local"];

    /// Sets a layer up option by option.
    #[must_use]
    pub fn builder() -> RedisLocalChannelLayerBuilder {
        RedisLocalChannelLayerBuilder::default()
    }

    /// The layer a URL describes: `redis+local://host/0?prefix=site:&message_memory=1000000`.
    ///
    /// # Errors
    ///
    /// As [`RedisLocalChannelLayerBuilder::build`].
    pub fn from_url(url: &str) -> Result<Self> {
        Self::from_settings(&url.parse()?)
    }

    /// The layer that a URL or a TOML table describes.
    ///
    /// # Errors
    ///
    /// As [`from_url`](Self::from_url).
    pub fn from_settings(settings: &LayerSettings) -> Result<Self> {
        settings.require_scheme(Self::SCHEMES)?;
        let mut options = settings.options().clone();
        let mut builder = RedisLocalChannelLayerBuilder {
            common: Common::take_from(&mut options)?,
            ..RedisLocalChannelLayerBuilder::default()
        };
        let database = options.take_integer::<u32>("db")?;
        builder.message_memory = options.take_integer("message_memory")?;
        builder.directory = options.take_text("directory")?.map(PathBuf::from);
        builder = match options.take_texts("hosts")? {
            Some(_) if !settings.hosts().is_empty() => {
                return Err(options.error("hosts", "is given by `url` already"));
            }
            Some(urls) => builder.hosts(urls),
            None => {
                builder.hosts = Address::of_location(settings, database, PORT)?;
                builder
            }
        };
        options.finish()?;
        builder.build()
    }

    /// As [`RedisChannelLayer::figures`].
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.redis.figures()
    }

    /// As [`RedisChannelLayer::data_lost`].
    pub async fn data_lost(&self) {
        self.redis.data_lost().await;
    }

    /// The layer that carries a channel.
    fn of(&self, channel: &ChannelName) -> &dyn ChannelLayer {
        match channel.kind() {
            ChannelKind::Normal => &self.ipc,
            _ => &self.redis,
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
impl ChannelLayer for RedisLocalChannelLayer {
    // ---- ASGI API

    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        self.of(channel).send(channel, message).await
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        let (normal, typed) = split(channels)?;
        // Shared memory answers sooner than any server, so that a busy normal channel would starve
        // the others if they were not asked for first now and then.
        let both = !normal.is_empty() && !typed.is_empty();
        if both
            && rand::random_ratio(1, ASK_FIRST)
            && let Some(received) = self.redis.try_receive(&typed).await?
        {
            return Ok(received);
        }
        // An empty list waits for ever. The one that is dropped has not got a message, or gives
        // it back.
        tokio::select! {
            received = self.ipc.receive(&normal) => received,
            received = self.redis.receive(&typed) => received,
        }
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        let (normal, typed) = split(channels)?;
        let mut layers: [(&dyn ChannelLayer, _); 2] = [(&self.ipc, normal), (&self.redis, typed)];
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
        self.redis.new_channel(pattern).await
    }

    async fn settle(&self) {
        self.ipc.settle().await;
        self.redis.settle().await;
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
impl Groups for RedisLocalChannelLayer {
    fn group_expiry(&self) -> Duration {
        self.redis.group_expiry()
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        self.redis.group_add(group, channel).await
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        self.redis.group_discard(group, channel).await
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        self.redis.group_channels(group).await
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let typed = |channel: &ChannelName| channel.kind() != ChannelKind::Normal;
        for channel in self.redis.send_to_some(group, &message, typed).await? {
            match self.ipc.send(&channel, message.clone()).await {
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
impl Flush for RedisLocalChannelLayer {
    async fn flush(&self) -> Result<()> {
        self.ipc.flush().await?;
        self.redis.flush().await
    }
}

#[async_trait]
impl Statistics for RedisLocalChannelLayer {
    async fn global_statistics(&self) -> Result<GlobalStatistics> {
        let mut sums = self.redis.global_statistics().await?;
        let here = self.ipc.global_statistics().await?;
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
            ChannelKind::Normal => self.ipc.channel_statistics(channel).await,
            _ => self.redis.channel_statistics(channel).await,
        }
    }
}

impl fmt::Display for RedisLocalChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisLocalChannelLayer({}, {})", self.ipc, self.redis)
    }
}
