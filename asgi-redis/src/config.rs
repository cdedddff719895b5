//! The builder and what a URL or a TOML table may say; shares its vocabulary with every layer.

use asgiref::config::{EncryptionKeys, LayerConfigBuilder, LayerSettings, Options};
use asgiref::{DroppedDeliveries, Error, LayerConfig, Result};

use crate::connection::{Address, Command, ConnectionOptions, PORT, Resolver, Server};
use crate::counters::Counters;
use crate::groups::Hints;
use crate::keys::{Keys, Unique};
use crate::layer::RedisChannelLayer;
use crate::ring::Ring;
use crate::script;
use crate::shard::{Shard, Shards, milliseconds};

/// The prefixes of Python's layer.
const PREFIX: &str = "asgi:";
const STATS_PREFIX: &str = "asgi-meta:";

/// The options that all layers of this crate have.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) config: LayerConfigBuilder,
    pub(crate) prefix: String,
    pub(crate) stats_prefix: String,
    pub(crate) keys: EncryptionKeys,
    pub(crate) connection: ConnectionOptions,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            config: LayerConfigBuilder::new(),
            prefix: PREFIX.to_owned(),
            stats_prefix: STATS_PREFIX.to_owned(),
            keys: EncryptionKeys::default(),
            connection: ConnectionOptions::default(),
        }
    }
}

impl Common {
    pub(crate) fn take_from(options: &mut Options) -> Result<Self> {
        let config = LayerConfig::from_options(options)?;
        let mut common = Self {
            config: LayerConfigBuilder::new().config(config),
            keys: EncryptionKeys::take_from(options)?,
            connection: ConnectionOptions::take_from(options)?,
            ..Self::default()
        };
        if let Some(prefix) = options.take_text("prefix")? {
            common.prefix = prefix;
        }
        if let Some(prefix) = options.take_text("stats_prefix")? {
            common.stats_prefix = prefix;
        }
        Ok(common)
    }

    /// The servers and how they are used, each with what is added to its prefixes, for a layer of
    /// the type `kind`.
    pub(crate) fn build(
        self,
        kind: &str,
        servers: Vec<(Box<dyn Resolver>, String)>,
    ) -> Result<Shards> {
        self.connection.validate()?;
        for (option, prefix) in [
            ("prefix", &self.prefix),
            ("stats_prefix", &self.stats_prefix),
        ] {
            if prefix.is_empty() {
                let reason = "must not be empty: a flush would empty the whole database";
                return Err(Error::config(option, reason));
            }
        }
        if self.prefix == self.stats_prefix {
            return Err(Error::config("stats_prefix", "must differ from `prefix`"));
        }
        let config = self.config.build()?;
        let codec = self.keys.codec(&config)?;
        let is_cluster = servers.iter().any(|(_, tag)| !tag.is_empty());
        let all: Vec<Shard> = servers
            .into_iter()
            .map(|(resolver, tag)| {
                let keys = Keys::new(
                    format!("{}{tag}", self.prefix),
                    format!("{}{tag}", self.stats_prefix),
                );
                let common = Command::arguments(128)
                    .arg(keys.prefix())
                    .int(milliseconds(config.message_expiry()))
                    .arg(keys.global_statistics());
                Shard {
                    server: Server::new(resolver, self.connection.clone()),
                    sends: script::SEND.batches(&common),
                    keys,
                }
            })
            .collect();
        let names: Vec<String> = all
            .iter()
            .map(|shard| shard.server.name().to_string())
            .collect();
        let name = format!("{kind}({})", names.join(", "));
        Ok(Shards {
            dropped: DroppedDeliveries::new(&name),
            name,
            ring: Ring::new(all.len()),
            all,
            config,
            codec,
            unique: Unique::new(),
            counters: Counters::default().into(),
            hints: Hints::default(),
            is_cluster,
        })
    }
}

/// Writes the setters that all builders of this crate have, for a field `common`.
macro_rules! common_setters {
    () => {
        /// What all keys begin with; `asgi:` unless set. Layers with different prefixes do not
        /// see each other.
        #[must_use]
        pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
            self.common.prefix = prefix.into();
            self
        }

        /// What the keys of statistics begin with; `asgi-meta:` unless set.
        #[must_use]
        pub fn stats_prefix(mut self, prefix: impl Into<String>) -> Self {
            self.common.stats_prefix = prefix.into();
            self
        }

        ::asgiref::layer_config_setters!(common.config);

        /// Encrypts messages with the first of these secrets and decrypts with any of them; none
        /// unless set. Every process must have them.
        #[cfg(feature = "encryption")]
        #[must_use]
        pub fn symmetric_encryption_keys<K: AsRef<[u8]>>(
            mut self,
            keys: impl IntoIterator<Item = K>,
        ) -> Self {
            self.common.keys = keys.into_iter().collect();
            self
        }

        /// How long an operation waits for a connection to its server; 3 seconds unless set. A
        /// shorter outage delays operations; a longer one fails them.
        #[must_use]
        pub fn connect_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.common.connection.connect_timeout = timeout;
            self
        }

        /// How long a server may take to answer before its connection is given up; 3 seconds
        /// unless set.
        #[must_use]
        pub fn response_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.common.connection.response_timeout = timeout;
            self
        }

        /// After how much silence a connection is checked; 1.5 seconds unless set. A connection
        /// that is dead without a word is given up after this and the response timeout.
        #[must_use]
        pub fn keepalive(mut self, interval: ::std::time::Duration) -> Self {
            self.common.connection.keepalive = interval;
            self
        }

        /// A file with certificates, in PEM form, to be trusted instead of the system's.
        #[cfg(feature = "tls")]
        #[must_use]
        pub fn tls_ca(mut self, file: impl Into<::std::path::PathBuf>) -> Self {
            self.common.connection.tls_ca = Some(file.into());
            self
        }
    };
}

pub(crate) use common_setters;

/// Makes a [`RedisChannelLayer`].
///
/// ```
/// use std::time::Duration;
/// use asgi_redis::RedisChannelLayer;
///
/// let layer = RedisChannelLayer::builder()
///     .hosts(["redis://10.0.0.1:6379/0", "redis://10.0.0.2:6379/0"])
///     .prefix("site:")
///     .expiry(Duration::from_secs(30))
///     .channel_capacity("daphne.response.*!", 10_000)
///     .build()?;
/// assert_eq!(layer.to_string(), "RedisChannelLayer(10.0.0.1:6379, 10.0.0.2:6379)");
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct RedisChannelLayerBuilder {
    common: Common,
    hosts: Vec<Address>,
    fault: Option<Error>,
}

impl RedisChannelLayerBuilder {
    #[cfg(feature = "local")]
    pub(crate) fn with(common: Common, hosts: Vec<Address>) -> Self {
        Self {
            common,
            hosts,
            fault: None,
        }
    }

    common_setters!();

    /// Adds a server: `redis://[[user]:password@]host[:port][/database]`, `rediss://…` over TLS,
    /// or `redis+unix:///path[?db=n]`. `redis://localhost:6379/0` if there is none.
    #[must_use]
    pub fn host(mut self, url: impl AsRef<str>) -> Self {
        match url.as_ref().parse() {
            Ok(address) => self.hosts.push(address),
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
        self
    }

    /// Adds several servers. Every process must have them in the same order.
    #[must_use]
    pub fn hosts<U: AsRef<str>>(self, urls: impl IntoIterator<Item = U>) -> Self {
        urls.into_iter().fold(self, Self::host)
    }

    /// Makes the layer. Nothing is connected before it is needed.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option that cannot be used.
    pub fn build(self) -> Result<RedisChannelLayer> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut hosts = self.hosts;
        if hosts.is_empty() {
            hosts.push(Address::tcp("localhost", PORT));
        }
        for (at, host) in hosts.iter().enumerate() {
            if hosts[..at].contains(host) {
                let reason = format!("{host} is there twice; each server is named once");
                return Err(Error::config("hosts", reason));
            }
        }
        let servers = hosts
            .into_iter()
            .map(|host| (Box::new(host) as Box<dyn Resolver>, String::new()));
        let shards = self.common.build("RedisChannelLayer", servers.collect())?;
        Ok(RedisChannelLayer::new(shards))
    }
}

impl RedisChannelLayer {
    /// The schemes of the URLs that mean this layer.
    pub const SCHEMES: &[&str] = &["redis", "rediss", "redis+unix"];

    /// Sets a layer up option by option.
    #[must_use]
    pub fn builder() -> RedisChannelLayerBuilder {
        RedisChannelLayerBuilder::default()
    }

    /// The layer a URL describes: `redis://host1,host2/0?prefix=site:&capacity=200`, with options
    /// as [`asgiref::config`] has them and those of the [crate](crate#options).
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option that is unknown or cannot be used.
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
        let mut builder = RedisChannelLayerBuilder {
            common: Common::take_from(&mut options)?,
            ..RedisChannelLayerBuilder::default()
        };
        let database = options.take_integer::<u32>("db")?;
        let listed = options.take_texts("hosts")?;
        builder = match listed {
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
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn urls_say_everything_a_builder_says() {
        let layer = RedisChannelLayer::from_url(
            "redis://me:secret@h1,h2:6380/2?prefix=site:&stats_prefix=site-meta:&expiry=30s\
             &group_expiry=1h&capacity=7&channel_capacity=a*:9&connect_timeout=1s\
             &response_timeout=2s&keepalive=500ms",
        )
        .unwrap();
        assert_eq!(layer.to_string(), "RedisChannelLayer(h1:6379/2, h2:6380/2)");
        let shards = layer.shards();
        assert_eq!(shards.config.message_expiry(), Duration::from_secs(30));
        assert_eq!(shards.config.capacities().of("ab"), 9);
        assert_eq!(shards.get(1).keys.queue("x"), "site:x");
        let options = shards.get(0).server.options();
        assert_eq!(options.response_timeout, Duration::from_secs(2));
        assert!(!format!("{layer:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (url, option) in [
            ("redis://h?prefix=", "prefix"),
            ("redis://h?prefix=a:&stats_prefix=a:", "stats_prefix"),
            ("redis://h?keepalive=0", "keepalive"),
            ("redis://h,h", "hosts"),
            ("redis://h?hosts=redis://i", "hosts"),
            ("redis://h?capicity=3", "capicity"),
            ("amqp://h", "url"),
        ] {
            let error = RedisChannelLayer::from_url(url).unwrap_err().to_string();
            assert!(error.contains(&format!("`{option}`")), "{url}: {error}");
        }
        let builder = RedisChannelLayer::builder().host("localhost:6379");
        assert!(builder.build().is_err());
    }

    #[test]
    fn without_a_server_it_is_this_machine() {
        let layer = RedisChannelLayer::builder().build().unwrap();
        assert_eq!(layer.to_string(), "RedisChannelLayer(localhost:6379)");
    }
}
