//! A [RabbitMQ](https://www.rabbitmq.com) channel layer.
//!
//! For sites that already run RabbitMQ, as a single node or as a cluster.
//! Queues and message bodies are those of Python's `asgi_rabbitmq` 0.5, so that Python and Rust
//! processes exchange messages over one broker.
//!
//! ```no_run
//! use asgi_rabbitmq::RabbitmqChannelLayer;
//! use asgiref::{ChannelLayer as _, ChannelName, message};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> asgiref::Result<()> {
//! let layer = RabbitmqChannelLayer::from_url("amqp://localhost/site?capacity=200")?;
//! let thumbnails = ChannelName::new("thumbnails")?;
//! layer.send(&thumbnails, message! { "picture" => 42 }).await?;
//! let (_, message) = layer.receive(&[thumbnails]).await?;
//! assert_eq!(message.int("picture")?, 42);
//! # Ok(())
//! # }
//! ```
//!
//! # Options
//!
//! Options, queues and messages on the wire, what happens when something fails, and limits are in
//! the [README](https://docs.rs/crate/asgi-rabbitmq).
//!
//! # Structure
//!
//! The backend crates mirror each other: a file of the same name does the same job in each.
//!
//! * `config`: the builder and what a URL or a TOML table may say; shares its vocabulary with
//!   every layer.
//! * `connection`: connections to the broker and how they are restored.
//! * `counters`: what a process has seen go wrong.
//! * `dead_letters`: what happens to messages that expire unread.
//! * `error`: the transport's own errors and what they become in [`asgiref::Error`].
//! * `flush`: the flush extension.
//! * `groups`: the groups extension.
//! * `layer`: the ASGI API: send, receive, new channel.
//! * `local`: normal channels in shared memory on this machine, the others in RabbitMQ.
//! * `news`: what processes tell each other about groups.
//! * `outbox`: how much room a channel has, and putting messages there.
//! * `queues`, `beliefs`: the channels' queues and their leases, and what is believed to be there.
//! * `receive`: the task that takes messages off the broker, and the callers that wait.
//! * `sign`: what tells a process that the broker was emptied.
//! * `site`: what all parts share.
//! * `statistics`, `tally`: the statistics extension, and what it counts.
//! * `topology`: which queues and exchanges stand for channels and groups.
#![forbid(unsafe_code)]

mod beliefs;
mod config;
mod connection;
mod counters;
mod dead_letters;
mod error;
mod flush;
mod groups;
mod layer;
#[cfg(feature = "local")]
mod local;
mod news;
mod outbox;
mod queues;
mod receive;
mod sign;
mod site;
mod statistics;
mod tally;
mod topology;

use std::sync::Arc;

use asgiref::config::LayerSettings;
use asgiref::{ChannelLayer, Result};

pub use config::{GroupsForm, RabbitmqChannelLayerBuilder};
pub use counters::Figures;
pub use error::Error;
pub use layer::RabbitmqChannelLayer;
#[cfg(feature = "local")]
pub use local::{RabbitmqLocalChannelLayer, RabbitmqLocalChannelLayerBuilder};

/// URL schemes that name a layer of this crate.
pub const SCHEMES: &[&str] = &[
    "amqp",
    "amqps",
    #[cfg(feature = "local")]
    "amqp+local",
    #[cfg(feature = "local")]
    "amqps+local",
];

/// The layer that a URL or a TOML table describes, of the kind its scheme says.
///
/// ```
/// let layer = asgi_rabbitmq::from_settings(&"amqp://localhost/site?capacity=200".parse()?)?;
/// assert_eq!(layer.to_string(), "RabbitmqChannelLayer(localhost:5672/site)");
/// # Ok::<(), asgiref::Error>(())
/// ```
///
/// # Errors
///
/// [`asgiref::Error::Config`], naming the option that is unknown or cannot be used.
pub fn from_settings(settings: &LayerSettings) -> Result<Arc<dyn ChannelLayer>> {
    settings.require_scheme(SCHEMES)?;
    #[cfg(feature = "local")]
    if RabbitmqLocalChannelLayer::SCHEMES.contains(&settings.scheme()) {
        return Ok(Arc::new(RabbitmqLocalChannelLayer::from_settings(
            settings,
        )?));
    }
    Ok(Arc::new(RabbitmqChannelLayer::from_settings(settings)?))
}
