use std::fmt;
use std::time::Duration;

use super::LayerConfig;
use crate::error::{Error, Result};

/// Collects the options every layer has for a layer's builder, whose setters cannot fail: what is
/// wrong comes to light in [`build`](Self::build).
///
/// A layer's builder holds one and passes its setters on with
/// [`layer_config_setters!`](crate::layer_config_setters).
#[derive(Default)]
pub struct LayerConfigBuilder {
    config: LayerConfig,
    /// What was wrong first.
    fault: Option<Error>,
}

impl LayerConfigBuilder {
    /// The defaults of [`LayerConfig`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`LayerConfig::expiry`].
    #[must_use]
    pub fn expiry(self, expiry: Duration) -> Self {
        self.try_with(|config| Ok(config.expiry(expiry)))
    }

    /// As [`LayerConfig::group_expiry`].
    #[must_use]
    pub fn group_expiry(self, group_expiry: Duration) -> Self {
        self.try_with(|config| Ok(config.group_expiry(group_expiry)))
    }

    /// As [`LayerConfig::capacity`].
    #[must_use]
    pub fn capacity(self, capacity: usize) -> Self {
        self.try_with(|config| Ok(config.capacity(capacity)))
    }

    /// As [`LayerConfig::channel_capacity`].
    #[must_use]
    pub fn channel_capacity(self, pattern: &str, capacity: usize) -> Self {
        self.try_with(|config| config.channel_capacity(pattern, capacity))
    }

    /// Takes all of `config`.
    #[must_use]
    pub fn config(mut self, config: LayerConfig) -> Self {
        self.config = config;
        self
    }

    /// Checks what was set.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option that cannot be used.
    pub fn build(self) -> Result<LayerConfig> {
        match self.fault {
            Some(fault) => Err(fault),
            None => self.config.validate().map(|()| self.config),
        }
    }

    fn try_with(mut self, set: impl FnOnce(LayerConfig) -> Result<LayerConfig>) -> Self {
        match set(std::mem::take(&mut self.config)) {
            Ok(config) => self.config = config,
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
        self
    }
}

impl fmt::Debug for LayerConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.config, f)
    }
}

/// Writes the setters all layers' builders have, for a builder whose field `$config`, or field of
/// a field, is a [`LayerConfigBuilder`](crate::config::LayerConfigBuilder).
///
/// ```
/// use asgiref::config::LayerConfigBuilder;
///
/// #[derive(Debug, Default)]
/// pub struct MyChannelLayerBuilder {
///     config: LayerConfigBuilder,
/// }
///
/// impl MyChannelLayerBuilder {
///     asgiref::layer_config_setters!(config);
/// }
///
/// let builder = MyChannelLayerBuilder::default().capacity(200).channel_capacity("http.*", 500);
/// # let _ = builder;
/// ```
#[macro_export]
macro_rules! layer_config_setters {
    ($($config:ident).+) => {
        /// How long a message waits to be received before it is dropped; 60 seconds unless set.
        #[must_use]
        pub fn expiry(mut self, expiry: ::std::time::Duration) -> Self {
            self.$($config).+ = self.$($config).+.expiry(expiry);
            self
        }

        /// How long a group membership lasts after it was last added; 86,400 seconds (a day)
        /// unless set.
        #[must_use]
        pub fn group_expiry(mut self, group_expiry: ::std::time::Duration) -> Self {
            self.$($config).+ = self.$($config).+.group_expiry(group_expiry);
            self
        }

        /// How many messages a channel holds; 100 unless set.
        #[must_use]
        pub fn capacity(mut self, capacity: usize) -> Self {
            self.$($config).+ = self.$($config).+.capacity(capacity);
            self
        }

        /// How many messages channels hold whose whole name, up to the `!`, matches the glob
        /// `pattern`, or, if that begins with `re:`, the regular expression after it. Of several
        /// patterns the first that matches counts. A pattern that cannot be compiled is reported
        /// by `build`.
        #[must_use]
        pub fn channel_capacity(mut self, pattern: &str, capacity: usize) -> Self {
            self.$($config).+ = self.$($config).+.channel_capacity(pattern, capacity);
            self
        }

        /// Takes expiries and capacities from `config`.
        #[must_use]
        pub fn config(mut self, config: $crate::LayerConfig) -> Self {
            self.$($config).+ = self.$($config).+.config(config);
            self
        }
    };
}
