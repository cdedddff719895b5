//! Normal channels in shared memory on this machine, the others in Redis.

use std::path::PathBuf;

use asgi_ipc::IpcChannelLayer;
use asgiref::config::{LayerConfigBuilder, LayerSettings};
use asgiref::{Error, Result, SplitChannelLayer};

use crate::config::{Common, RedisChannelLayerBuilder, common_setters};
use crate::connection::{Address, PORT};
use crate::counters::Figures;
use crate::layer::RedisChannelLayer;

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
    layer: SplitChannelLayer<IpcChannelLayer, RedisChannelLayer>,
}

asgiref::forward_channel_layer!(RedisLocalChannelLayer, layer);

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

    /// Makes the layer. The segment, which is named after the prefix and the servers' ports and
    /// databases, is made or opened; nothing is connected before it is needed.
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
        let suffixes: String = self.hosts.iter().map(Address::suffix).collect();
        let prefix = self.common.prefix.trim_end_matches(':');
        let mut ipc = IpcChannelLayer::builder()
            .named_after(&format!("{prefix}{suffixes}"))
            .config(config);
        if let Some(bytes) = self.message_memory {
            ipc = ipc.message_memory(bytes);
        }
        if let Some(directory) = self.directory {
            ipc = ipc.directory(directory);
        }
        // The segment comes last: it stays, and a mistake in the other options should leave none.
        let redis = RedisChannelLayerBuilder::with(self.common, self.hosts).build()?;
        let layer = SplitChannelLayer::new("RedisLocalChannelLayer", ipc.build()?, redis);
        Ok(RedisLocalChannelLayer { layer })
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
        self.layer.typed().figures()
    }

    /// As [`RedisChannelLayer::data_lost`].
    pub async fn data_lost(&self) {
        self.layer.typed().data_lost().await;
    }
}
