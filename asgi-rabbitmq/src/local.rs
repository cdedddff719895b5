//! Normal channels in shared memory on this machine, the others in RabbitMQ.

use std::path::PathBuf;

use asgi_ipc::IpcChannelLayer;
use asgiref::config::{LayerConfigBuilder, LayerSettings};
use asgiref::{Result, SplitChannelLayer};

use crate::config::{Common, common_setters};
use crate::connection::Address;
use crate::counters::Figures;
use crate::layer::RabbitmqChannelLayer;

/// What the segment is called if there is no prefix.
const SEGMENT: &str = "asgi";

/// A channel layer for sites whose every machine has protocol servers and workers: normal
/// channels, which carry requests, stay on the machine, in shared memory; what must find its way
/// to a certain process, and groups, go through RabbitMQ.
///
/// Every machine with a protocol server needs workers for all normal channels. A normal channel
/// that is a member of a group gets messages of senders on its own machine only. What is in shared
/// memory is not encrypted.
///
/// ```no_run
/// use asgi_rabbitmq::RabbitmqLocalChannelLayer;
///
/// let layer = RabbitmqLocalChannelLayer::builder()
///     .url("amqp://10.0.0.1/site")
///     .build()?;
/// # let _ = layer;
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RabbitmqLocalChannelLayer {
    layer: SplitChannelLayer<IpcChannelLayer, RabbitmqChannelLayer>,
}

asgiref::forward_channel_layer!(RabbitmqLocalChannelLayer, layer);

/// Makes a [`RabbitmqLocalChannelLayer`].
#[derive(Debug, Default)]
pub struct RabbitmqLocalChannelLayerBuilder {
    common: Common,
    message_memory: Option<u64>,
    directory: Option<PathBuf>,
}

impl RabbitmqLocalChannelLayerBuilder {
    common_setters!();

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

    /// Makes the layer. The segment, which is named after the prefix (`asgi` if there is none) and
    /// the virtual host, is made or opened; nothing is connected before it is needed.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](asgiref::Error::Config), naming the option that cannot be used;
    /// [`Error::Backend`](asgiref::Error::Backend) if the segment cannot be opened.
    pub fn build(mut self) -> Result<RabbitmqLocalChannelLayer> {
        let config = std::mem::take(&mut self.common.config).build()?;
        self.common.config = LayerConfigBuilder::new().config(config.clone());
        let mut ipc = IpcChannelLayer::builder()
            .named_after(&segment_name(&self.common))
            .config(config);
        if let Some(bytes) = self.message_memory {
            ipc = ipc.message_memory(bytes);
        }
        if let Some(directory) = self.directory {
            ipc = ipc.directory(directory);
        }
        // The segment comes last: it stays, and a mistake in the other options should leave none.
        let rabbitmq = RabbitmqChannelLayer::new(self.common.build()?);
        let layer = SplitChannelLayer::new("RabbitmqLocalChannelLayer", ipc.build()?, rabbitmq);
        Ok(RabbitmqLocalChannelLayer { layer })
    }
}

/// What the processes of one site on this machine have in common, whichever node they use.
fn segment_name(common: &Common) -> String {
    let prefix = match common.prefix.trim_end_matches(':') {
        "" => SEGMENT,
        prefix => prefix,
    };
    match common.addresses.first().map_or("/", Address::vhost) {
        "/" => prefix.to_owned(),
        vhost => format!("{prefix}-{vhost}"),
    }
}

impl RabbitmqLocalChannelLayer {
    /// The schemes of the URLs that mean this layer.
    pub const SCHEMES: &[&str] = &["amqp+local", "amqps+local"];

    /// Sets a layer up option by option.
    #[must_use]
    pub fn builder() -> RabbitmqLocalChannelLayerBuilder {
        RabbitmqLocalChannelLayerBuilder::default()
    }

    /// The layer a URL describes: `amqp+local://host/vhost?message_memory=1000000`.
    ///
    /// # Errors
    ///
    /// As [`RabbitmqLocalChannelLayerBuilder::build`].
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
        let builder = RabbitmqLocalChannelLayerBuilder {
            common: Common::take_from(settings, &mut options)?,
            message_memory: options.take_integer("message_memory")?,
            directory: options.take_text("directory")?.map(PathBuf::from),
        };
        options.finish()?;
        builder.build()
    }

    /// As [`RabbitmqChannelLayer::figures`].
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.layer.typed().figures()
    }

    /// As [`RabbitmqChannelLayer::data_lost`].
    pub async fn data_lost(&self) {
        self.layer.typed().data_lost().await;
    }
}
