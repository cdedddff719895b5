//! The options every channel layer has.

use std::time::Duration;

use crate::capacity::Capacities;
use crate::error::{Error, Result};

/// Expiry and capacity of a layer: the options all layers share, under the same names in
/// builders, URLs and TOML tables.
///
/// ```
/// use std::time::Duration;
/// use asgiref::{InMemoryChannelLayer, LayerConfig};
///
/// let config = LayerConfig::new()
///     .expiry(Duration::from_secs(30))
///     .capacity(200)
///     .channel_capacity("daphne.response.*!", 10_000)?;
/// let layer = InMemoryChannelLayer::with_config(config);
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerConfig {
    expiry: Duration,
    group_expiry: Duration,
    capacities: Capacities,
}

impl LayerConfig {
    /// The defaults: messages expire after 60 seconds, memberships after 86,400 seconds (a day),
    /// channels hold 100 messages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a message waits to be received before it is dropped.
    #[must_use]
    pub const fn expiry(mut self, expiry: Duration) -> Self {
        self.expiry = expiry;
        self
    }

    /// How long a group membership lasts after it was last added.
    #[must_use]
    pub const fn group_expiry(mut self, group_expiry: Duration) -> Self {
        self.group_expiry = group_expiry;
        self
    }

    /// How many messages a channel holds.
    #[must_use]
    pub const fn capacity(mut self, capacity: usize) -> Self {
        self.capacities.set_default(capacity);
        self
    }

    /// How many messages channels hold whose whole name matches the glob `pattern`, as
    /// [`Capacities::glob`]. Of several patterns the first that matches wins.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the pattern cannot be compiled.
    pub fn channel_capacity(mut self, pattern: &str, capacity: usize) -> Result<Self> {
        self.capacities.glob(pattern, capacity)?;
        Ok(self)
    }

    /// The same for channels whose name matches a regular expression, as [`Capacities::regex`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the pattern cannot be compiled.
    pub fn channel_capacity_regex(mut self, pattern: &str, capacity: usize) -> Result<Self> {
        self.capacities.regex(pattern, capacity)?;
        Ok(self)
    }

    /// The configured message expiry.
    #[must_use]
    pub const fn message_expiry(&self) -> Duration {
        self.expiry
    }

    /// The configured membership expiry.
    #[must_use]
    pub const fn membership_expiry(&self) -> Duration {
        self.group_expiry
    }

    /// The configured capacities.
    #[must_use]
    pub const fn capacities(&self) -> &Capacities {
        &self.capacities
    }

    /// Checks the values against each other, as every layer's builder does.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option, if an expiry is zero.
    pub fn validate(&self) -> Result<()> {
        for (option, value) in [("expiry", self.expiry), ("group_expiry", self.group_expiry)] {
            if value.is_zero() {
                return Err(Error::config(option, "must be longer than zero seconds"));
            }
        }
        Ok(())
    }
}

impl Default for LayerConfig {
    fn default() -> Self {
        Self {
            expiry: Duration::from_secs(60),
            group_expiry: Duration::from_secs(86_400),
            capacities: Capacities::default(),
        }
    }
}
