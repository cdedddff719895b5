use crate::config::{LayerConfig, LayerConfigBuilder, LayerSettings};
use crate::error::Result;
use crate::inmemory::InMemoryChannelLayer;

/// Makes an [`InMemoryChannelLayer`].
///
/// ```
/// use std::time::Duration;
/// use asgiref::InMemoryChannelLayer;
///
/// let layer = InMemoryChannelLayer::builder()
///     .expiry(Duration::from_secs(30))
///     .channel_capacity("http.*", 500)
///     .build()?;
/// # let _ = layer;
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct InMemoryChannelLayerBuilder {
    config: LayerConfigBuilder,
}

impl InMemoryChannelLayerBuilder {
    crate::layer_config_setters!(config);

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config), naming the option that cannot be used.
    pub fn build(self) -> Result<InMemoryChannelLayer> {
        self.config.build().map(InMemoryChannelLayer::with_config)
    }
}

impl InMemoryChannelLayer {
    /// The schemes of the URLs that mean this layer.
    pub const SCHEMES: &[&str] = &["memory"];

    /// Sets a layer up option by option.
    #[must_use]
    pub fn builder() -> InMemoryChannelLayerBuilder {
        InMemoryChannelLayerBuilder::default()
    }

    /// The layer a URL describes: `memory:`, with options as [`config`](crate::config) has them.
    /// Each call makes a layer of its own.
    ///
    /// ```
    /// use asgiref::InMemoryChannelLayer;
    ///
    /// let layer = InMemoryChannelLayer::from_url("memory:?capacity=200&expiry=30s")?;
    /// # let _ = layer;
    /// # Ok::<(), asgiref::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config), naming the option that is unknown or cannot be
    /// used.
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
        settings.require_no_location()?;
        let mut options = settings.options().clone();
        let config = LayerConfig::from_options(&mut options)?;
        options.finish()?;
        Ok(Self::with_config(config))
    }
}
