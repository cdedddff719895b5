use std::time::Duration;

use super::Options;
use crate::capacity::Capacities;
use crate::error::{Error, Result};

const EXPIRY: &str = "expiry";
const GROUP_EXPIRY: &str = "group_expiry";
const CAPACITY: &str = "capacity";
const CHANNEL_CAPACITY: &str = "channel_capacity";

/// A hundred years: long enough to mean never, and short enough to be added to any clock.
const MAX_EXPIRY: Duration = Duration::from_secs(100 * 365 * 86_400);

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

    /// Takes the four options out of `options`; those that are absent have their defaults.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option that cannot be used.
    pub fn from_options(options: &mut Options) -> Result<Self> {
        let mut config = Self::default();
        if let Some(expiry) = options.take_duration(EXPIRY)? {
            config = config.expiry(expiry);
        }
        if let Some(group_expiry) = options.take_duration(GROUP_EXPIRY)? {
            config = config.group_expiry(group_expiry);
        }
        if let Some(capacity) = options.take_integer(CAPACITY)? {
            config = config.capacity(capacity);
        }
        for (pattern, capacity) in options
            .take_capacities(CHANNEL_CAPACITY)?
            .into_iter()
            .flatten()
        {
            config = config
                .channel_capacity(&pattern, capacity)
                .map_err(|error| named(options, error))?;
        }
        config.validate().map_err(|error| named(options, error))?;
        Ok(config)
    }

    /// How long a message waits to be received before it is dropped. More than a hundred years
    /// are a hundred years.
    #[must_use]
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.expiry = expiry.min(MAX_EXPIRY);
        self
    }

    /// How long a group membership lasts after it was last added. More than a hundred years are a
    /// hundred years.
    #[must_use]
    pub fn group_expiry(mut self, group_expiry: Duration) -> Self {
        self.group_expiry = group_expiry.min(MAX_EXPIRY);
        self
    }

    /// How many messages a channel holds.
    #[must_use]
    pub const fn capacity(mut self, capacity: usize) -> Self {
        self.capacities.set_default(capacity);
        self
    }

    /// How many messages channels hold whose whole name matches the glob `pattern`, as
    /// [`Capacities::glob`], or, if that begins with `re:`, the regular expression after it, as
    /// [`Capacities::regex`]. Of several patterns the first that matches counts.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the pattern cannot be compiled.
    pub fn channel_capacity(mut self, pattern: &str, capacity: usize) -> Result<Self> {
        match pattern.strip_prefix("re:") {
            Some(regex) => self.capacities.regex(regex, capacity)?,
            None => self.capacities.glob(pattern, capacity)?,
        }
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
        for (option, value) in [(EXPIRY, self.expiry), (GROUP_EXPIRY, self.group_expiry)] {
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

/// The same error, with the table the options stand in.
fn named(options: &Options, error: Error) -> Error {
    match error {
        Error::Config { option, reason } => options.error(&option, reason),
        other => other,
    }
}
