//! How channel layers are configured: one vocabulary for builders, URLs and TOML tables.
//!
//! A builder's setters are called as the options are. In a URL they follow the `?`; in TOML they
//! are keys of the table `[channel_layers.NAME]`, beside the URL or in its place:
//!
//! ```toml
//! [channel_layers.default]
//! url = "redis://cache.example:6379/0?prefix=site:"
//! expiry = "2m"
//!
//! [channel_layers.default.channel_capacity]
//! "http.request" = 200
//! "daphne.response.*!" = 10_000
//!
//! [channel_layers.scratch]
//! backend = "memory"
//! ```
//!
//! # Options of every layer
//!
//! | option | what it is | default |
//! |---|---|---|
//! | `expiry` | how long a message waits to be received | `60` |
//! | `group_expiry` | how long a group membership lasts after it was last added | `86400` |
//! | `capacity` | how many messages a channel holds | `100` |
//! | `channel_capacity` | the same for channels that match a pattern; of several the first counts | none |
//!
//! # Values
//!
//! * A duration is a number of seconds (`30`, `0.5`) or has a unit: `500ms`, `30s`, `2m`, `1h`,
//!   `1d`.
//! * A pattern is a glob, or a regular expression after `re:`. In a URL its capacity follows a
//!   colon and the option is repeated: `?channel_capacity=http.*:200&channel_capacity=ws.*:50`.
//!   In TOML it is a table as above or a list of pairs, `[["http.*", 200]]`; the order counts.
//! * In a URL, what would be taken for something else is percent-encoded: `%26` for `&`, `%23` for
//!   `#`, and in a password `%40` for `@`, `%3A` for `:`, `%2F` for `/`.
//!
//! An option that the layer does not know is an error, which names the one it is most like.
//!
//! # For authors of layers
//!
//! [`LayerSettings`] is what a URL or a table says. A layer takes its [`Options`] one by one:
//!
//! ```
//! use asgiref::LayerConfig;
//! use asgiref::config::LayerSettings;
//!
//! let settings: LayerSettings = "redis://cache.example/0?prefix=site:&expiry=2m".parse()?;
//! let mut options = settings.options().clone();
//! let config = LayerConfig::from_options(&mut options)?;
//! let prefix = options.take_text("prefix")?.unwrap_or_else(|| "asgi:".to_owned());
//! options.finish()?;
//! assert_eq!((config.message_expiry().as_secs(), prefix.as_str()), (120, "site:"));
//! # Ok::<(), asgiref::Error>(())
//! ```

mod builder;
mod channel_layers;
mod duration;
mod encryption_keys;
mod layer_config;
mod nearest;
mod options;
mod secret;
mod settings;
mod url;

pub use builder::LayerConfigBuilder;
pub use channel_layers::ChannelLayers;
pub use encryption_keys::EncryptionKeys;
pub use layer_config::LayerConfig;
pub use options::Options;
pub use settings::{Host, LayerSettings};
