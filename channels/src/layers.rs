use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use asgiref::{ChannelLayer, ChannelName, GroupName};

use crate::channel::{Channel, Group};
use crate::error::{Error, Result};

/// The alias of the channel layer that is meant when none is named.
pub const DEFAULT_CHANNEL_LAYER: &str = "default";

/// The channel layers of a program, by alias. Most programs have one, called `default`.
///
/// A clone is another handle to the same layers.
///
/// ```
/// use std::sync::Arc;
/// use asgiref::{InMemoryChannelLayer, message};
/// use channels::ChannelLayers;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> channels::Result<()> {
/// let layers = ChannelLayers::new(Arc::new(InMemoryChannelLayer::new()))
///     .with("telemetry", Arc::new(InMemoryChannelLayer::new()));
///
/// layers.channel("thumbnails")?.send(message! { "picture" => 42 }).await?;
/// layers.channel_on("telemetry", "counters")?.send(message! { "pictures" => 1 }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct ChannelLayers {
    layers: Arc<BTreeMap<String, Arc<dyn ChannelLayer>>>,
}

impl ChannelLayers {
    /// One channel layer, under the alias [`DEFAULT_CHANNEL_LAYER`].
    #[must_use]
    pub fn new(default: Arc<dyn ChannelLayer>) -> Self {
        Self::default().with(DEFAULT_CHANNEL_LAYER, default)
    }

    /// Adds a layer; it takes the place of one with the same alias.
    #[must_use]
    pub fn with(mut self, alias: impl Into<String>, layer: Arc<dyn ChannelLayer>) -> Self {
        Arc::make_mut(&mut self.layers).insert(alias.into(), layer);
        self
    }

    /// The layer with this alias.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAlias`]; so for all methods that take an alias.
    pub fn layer(&self, alias: &str) -> Result<&Arc<dyn ChannelLayer>> {
        self.layers.get(alias).ok_or_else(|| Error::UnknownAlias {
            alias: alias.to_owned(),
            known: self.aliases().collect::<Vec<_>>().join(", "),
        })
    }

    /// Whether a layer has this alias.
    #[must_use]
    pub fn contains(&self, alias: &str) -> bool {
        self.layers.contains_key(alias)
    }

    /// The aliases, in alphabetical order.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.layers.keys().map(String::as_str)
    }

    /// A channel of the default layer.
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::InvalidName`], or [`Error::UnknownAlias`] if there is no default layer.
    pub fn channel<N>(&self, name: N) -> Result<Channel>
    where
        N: TryInto<ChannelName, Error: Into<asgiref::Error>>,
    {
        self.channel_on(DEFAULT_CHANNEL_LAYER, name)
    }

    /// A channel of the layer with this alias.
    ///
    /// # Errors
    ///
    /// As [`channel`](Self::channel).
    pub fn channel_on<N>(&self, alias: &str, name: N) -> Result<Channel>
    where
        N: TryInto<ChannelName, Error: Into<asgiref::Error>>,
    {
        Channel::new(name, Arc::clone(self.layer(alias)?))
    }

    /// A group of the default layer.
    ///
    /// # Errors
    ///
    /// As [`channel`](Self::channel).
    pub fn group<N>(&self, name: N) -> Result<Group>
    where
        N: TryInto<GroupName, Error: Into<asgiref::Error>>,
    {
        self.group_on(DEFAULT_CHANNEL_LAYER, name)
    }

    /// A group of the layer with this alias.
    ///
    /// # Errors
    ///
    /// As [`channel`](Self::channel).
    pub fn group_on<N>(&self, alias: &str, name: N) -> Result<Group>
    where
        N: TryInto<GroupName, Error: Into<asgiref::Error>>,
    {
        Group::new(name, Arc::clone(self.layer(alias)?))
    }
}

impl fmt::Debug for ChannelLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.layers
                    .iter()
                    .map(|(alias, layer)| (alias, layer.to_string())),
            )
            .finish()
    }
}
