//! The builder and what a URL or a TOML table may say; shares its vocabulary with every layer.

use std::sync::Arc;
use std::time::Duration;

use asgiref::config::{EncryptionKeys, LayerConfigBuilder, LayerSettings, Options};
use asgiref::{Error, LayerConfig, Result};

use crate::connection::{Address, Broker, ConnectionOptions, check};
use crate::counters::Counters;
use crate::layer::RabbitmqChannelLayer;
use crate::queues::Queues;
use crate::site::Site;
use crate::tally::Tally;
use crate::topology::Topology;

/// The options that all layers of this crate have.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) config: LayerConfigBuilder,
    pub(crate) prefix: String,
    pub(crate) groups: GroupsForm,
    pub(crate) durable_queues: bool,
    pub(crate) keys: EncryptionKeys,
    pub(crate) connection: ConnectionOptions,
    pub(crate) addresses: Vec<Address>,
    /// What was wrong first.
    pub(crate) fault: Option<Error>,
}

/// How groups are kept; the option `groups`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupsForm {
    /// `native`: as the specification wants them, known to this implementation only.
    #[default]
    Native,
    /// `compatible`: as Python's `asgi_rabbitmq` keeps them, with the limits of that.
    Compatible,
}

impl Common {
    pub(crate) fn take_from(settings: &LayerSettings, options: &mut Options) -> Result<Self> {
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
        common.groups = match options.take_text("groups")?.as_deref() {
            None | Some("native") => GroupsForm::Native,
            Some("compatible") => GroupsForm::Compatible,
            Some(_) => {
                return Err(options.error("groups", "must be `native` or `compatible`"));
            }
        };
        if let Some(durable) = options.take_bool("durable_queues")? {
            common.durable_queues = durable;
        }
        let listed = options.take_texts("urls")?;
        match listed {
            Some(_) if !settings.hosts().is_empty() => {
                return Err(options.error("urls", "is given by `url` already"));
            }
            Some(urls) => {
                for url in urls {
                    let addresses =
                        Address::of_url(&url).map_err(|error| options.error("urls", error))?;
                    common.addresses.extend(addresses);
                }
            }
            None => common.addresses = Address::of_location(settings)?,
        }
        Ok(common)
    }

    pub(crate) fn add_url(&mut self, url: &str) {
        match Address::of_url(url) {
            Ok(addresses) => self.addresses.extend(addresses),
            Err(fault) => self.fault = self.fault.take().or(Some(fault)),
        }
    }

    pub(crate) fn build(mut self) -> Result<Site> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.addresses.is_empty() {
            self.addresses = Address::of_url("amqp://localhost")?;
        }
        check(&self.addresses)?;
        self.connection.validate()?;
        let config = self.config.build()?;
        let topology = Topology::new(&self.prefix, self.durable_queues, &config)?;
        let lease = Duration::from_millis(topology.lease().unsigned_abs());
        Ok(Site {
            broker: Arc::new(Broker::new(
                self.addresses,
                self.connection,
                topology.clone(),
            )),
            codec: self.keys.codec(&config)?,
            queues: Queues::new(lease),
            topology,
            config,
            groups: self.groups,
            counters: Counters::default(),
            tally: Tally::new(),
        })
    }
}

/// Writes the setters that all builders of this crate have, for a field `common`.
macro_rules! common_setters {
    () => {
        /// Adds a broker, or several nodes of a cluster:
        /// `amqp://[user:password@]host[:port][,host…][/vhost]`, or `amqps://…` over TLS, with what
        /// is special in the virtual host's name percent-encoded. `amqp://localhost` if there is
        /// none. The nodes are tried in turn, beginning anywhere.
        #[must_use]
        pub fn url(mut self, url: impl AsRef<str>) -> Self {
            self.common.add_url(url.as_ref());
            self
        }

        /// Adds several nodes of a cluster.
        #[must_use]
        pub fn urls<U: AsRef<str>>(self, urls: impl IntoIterator<Item = U>) -> Self {
            urls.into_iter().fold(self, Self::url)
        }

        /// What all names of queues and exchanges begin with; nothing unless set, as Python's
        /// layer has it. Layers with different prefixes do not see each other.
        #[must_use]
        pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
            self.common.prefix = prefix.into();
            self
        }

        /// How groups are kept; [native](crate::GroupsForm::Native) unless set. Every process must
        /// have the same.
        #[must_use]
        pub fn groups(mut self, form: $crate::GroupsForm) -> Self {
            self.common.groups = form;
            self
        }

        /// Whether queues are declared durable, for brokers that refuse others, as RabbitMQ does
        /// without its deprecated features; not unless set. Python's layer cannot share them.
        /// Messages are not durable either way.
        #[must_use]
        pub fn durable_queues(mut self, durable: bool) -> Self {
            self.common.durable_queues = durable;
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

        /// How long an operation waits for a connection to the broker; 3 seconds unless set. A
        /// shorter outage delays operations; a longer one fails them.
        #[must_use]
        pub fn connect_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.common.connection.connect_timeout = timeout;
            self
        }

        /// How long the broker may take to answer before the connection is given up; 3 seconds
        /// unless set.
        #[must_use]
        pub fn response_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.common.connection.response_timeout = timeout;
            self
        }

        /// The heartbeat that is proposed to the broker, in whole seconds; 10 seconds unless set.
        /// An idle connection that is dead without a word is noticed after this, one that is used
        /// after the response timeout.
        #[must_use]
        pub fn heartbeat(mut self, interval: ::std::time::Duration) -> Self {
            self.common.connection.heartbeat = interval;
            self
        }

        /// A file with certificates, in PEM form, to be trusted beside the system's.
        #[cfg(feature = "tls")]
        #[must_use]
        pub fn tls_ca(mut self, file: impl Into<::std::path::PathBuf>) -> Self {
            self.common.connection.tls_ca = Some(file.into());
            self
        }
    };
}

#[cfg(feature = "local")]
pub(crate) use common_setters;

/// Makes a [`RabbitmqChannelLayer`].
///
/// Every process of a site must have the same prefix, form of groups, durability of queues and
/// expiries: the broker refuses a queue that is declared again in another way.
///
/// ```
/// use std::time::Duration;
/// use asgi_rabbitmq::RabbitmqChannelLayer;
///
/// let layer = RabbitmqChannelLayer::builder()
///     .urls(["amqp://10.0.0.1/site", "amqp://10.0.0.2/site"])
///     .expiry(Duration::from_secs(30))
///     .channel_capacity("daphne.response.*!", 10_000)
///     .build()?;
/// let name = "RabbitmqChannelLayer(10.0.0.1:5672/site, 10.0.0.2:5672/site)";
/// assert_eq!(layer.to_string(), name);
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct RabbitmqChannelLayerBuilder {
    common: Common,
}

impl RabbitmqChannelLayerBuilder {
    common_setters!();

    /// Makes the layer. Nothing is connected before it is needed.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option that cannot be used.
    pub fn build(self) -> Result<RabbitmqChannelLayer> {
        Ok(RabbitmqChannelLayer::new(self.common.build()?))
    }
}

impl RabbitmqChannelLayer {
    /// The schemes of the URLs that mean this layer.
    pub const SCHEMES: &[&str] = &["amqp", "amqps"];

    /// Sets a layer up option by option.
    #[must_use]
    pub fn builder() -> RabbitmqChannelLayerBuilder {
        RabbitmqChannelLayerBuilder::default()
    }

    /// The layer a URL describes: `amqp://host1,host2/vhost?capacity=200`, with options as
    /// [`asgiref::config`] has them and those of the [crate](crate#options).
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
        let builder = RabbitmqChannelLayerBuilder {
            common: Common::take_from(settings, &mut options)?,
        };
        options.finish()?;
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_everything_a_builder_says() {
        let layer = RabbitmqChannelLayer::from_url(
            "amqp://me:secret@h1,h2:5673/site?expiry=30s&group_expiry=1h&capacity=7\
             &channel_capacity=a*:9&connect_timeout=1s&response_timeout=2s&heartbeat=5s&prefix=x.\
             &groups=compatible&durable_queues=true",
        )
        .unwrap();
        let name = "RabbitmqChannelLayer(h1:5672/site, h2:5673/site)";
        assert_eq!(layer.to_string(), name);
        let site = layer.site();
        assert_eq!(site.config.message_expiry(), Duration::from_secs(30));
        assert_eq!(site.config.capacities().of("ab"), 9);
        assert_eq!(site.topology.queue("y"), "x.y");
        let options = site.broker.options();
        assert_eq!(options.response_timeout, Duration::from_secs(2));
        assert!(!format!("{layer:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (url, option) in [
            ("amqp://h?heartbeat=0", "heartbeat"),
            ("amqp://h?groups=none", "groups"),
            ("amqp://h?response_timeout=0", "response_timeout"),
            ("amqp://h,h", "url"),
            ("amqp://h?urls=amqp://i", "urls"),
            ("amqp://h?capicity=3", "capicity"),
            ("redis://h", "url"),
        ] {
            let error = RabbitmqChannelLayer::from_url(url).unwrap_err().to_string();
            assert!(error.contains(&format!("`{option}`")), "{url}: {error}");
        }
        let builder = RabbitmqChannelLayer::builder().url("localhost:5672");
        assert!(builder.build().is_err());
        let builder = RabbitmqChannelLayer::builder().url("amqp://h?capacity=3");
        assert!(builder.build().is_err());
    }

    #[test]
    fn without_a_broker_it_is_this_machine() {
        let layer = RabbitmqChannelLayer::builder().build().unwrap();
        assert_eq!(layer.to_string(), "RabbitmqChannelLayer(localhost:5672)");
    }
}
