//! Channel layers: named queues that carry messages between the processes of a site.
//!
//! ```
//! use asgiref::{ChannelLayer as _, ChannelName, InMemoryChannelLayer, message};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> asgiref::Result<()> {
//! let layer = InMemoryChannelLayer::new();
//! let thumbnails = ChannelName::new("thumbnails")?;
//! layer.send(&thumbnails, message! { "picture" => 42, "sizes" => [100, 200] }).await?;
//!
//! let (channel, message) = layer.receive(&[thumbnails]).await?;
//! assert_eq!((channel.as_str(), message.int("picture")?), ("thumbnails", 42));
//! # Ok(())
//! # }
//! ```
//!
//! # What a channel layer is
//!
//! A protocol server (such as daphne) turns connections into messages, a worker turns messages
//! into answers, and a [`ChannelLayer`] carries them between the two, so that either can be
//! restarted, or run in many copies, without the other. It is the centre of [ASGI] as it was
//! drafted in 2017.
//!
//! A channel is a first-in, first-out queue with a name, a [capacity](Capacities) and an expiry.
//! A message in it is delivered **at most once, to one reader**: never twice, and not at all if
//! nobody receives it in time. Sending never waits: a channel at capacity refuses the message
//! ([`Error::ChannelFull`]), and the sender knows best whether to wait, to drop it or to answer 503.
//! The whole contract stands at [`ChannelLayer`].
//!
//! A [`Message`] is a map from text keys to [`Value`]s of the eight types that every language has.
//! The formats of HTTP, WebSocket, delayed and UDP messages are in [`protocol`]; a struct of your
//! own is a message through serde ([`Message::from_serialize`], [`Message::deserialize`]).
//!
//! # The three kinds of channel
//!
//! | kind | example | who reads it | order |
//! |---|---|---|---|
//! | [normal](ChannelKind::Normal) | `http.request` | any number of workers, each message goes to one | as far as the layer manages |
//! | [single-reader](ChannelKind::SingleReader) | `http.request.body?aBcDeF` | one reader, anywhere | kept |
//! | [process-specific](ChannelKind::ProcessSpecific) | `daphne.response.AbC!XyZ` | the process that owns `daphne.response.AbC!` | kept |
//!
//! Names of the second and third kind are made by [`ChannelLayer::new_channel`] from a
//! [`ChannelPattern`]. A process-specific name has two halves: the process receives from the part up
//! to and including the `!`, for all its connections at once, and finds the connection by the
//! [local part](ChannelName::local_part) of the name each message comes with.
//!
//! # Extensions
//!
//! A layer may also provide [`Groups`] (one message to many channels), [`Flush`] (for tests) and
//! [`Statistics`]. They are reached through the layer, and a program that cannot do without asks
//! when it starts:
//!
//! ```
//! use asgiref::{ChannelLayer, ChannelLayerExt as _, ChannelName, GroupName, message};
//!
//! async fn announce(layer: &dyn ChannelLayer) -> asgiref::Result<()> {
//!     let groups = layer.require_groups()?;
//!     let lobby = GroupName::new("chat-lobby")?;
//!     groups.group_add(&lobby, &ChannelName::new("daphne.response.AbC!XyZ")?).await?;
//!     groups.send_group(&lobby, message! { "text" => "hello, everybody" }).await
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> asgiref::Result<()> {
//! #     announce(&asgiref::InMemoryChannelLayer::new()).await
//! # }
//! ```
//!
//! # Choosing a layer
//!
//! Programs hold an `Arc<dyn ChannelLayer>` and choose it when they start, from a URL or a TOML
//! table ([`config`]). [`InMemoryChannelLayer`] reaches as far as the process. The crates
//! `asgi-ipc`, `asgi-redis` and `asgi-rabbitmq` have layers that reach across a machine and across
//! many. Synchronous programs use any of them through [`blocking::ChannelLayer`].
//!
#![doc = include_str!("docs/writing_a_layer.md")]
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `encryption` | no | encryption of messages, for layers that store them outside the process |
//! | `metrics` | no | counters and gauges for the recorder of the program, see [`metrics`] |
//!
#![doc = include_str!("docs/spec_notes.md")]
//!
//! # Stability
//!
//! Everything public follows semantic versioning. Until 1.0 a minor version may change what is
//! public, and the change log says how to follow. Error messages and the text forms of messages
//! are for people and may change at any time. The trait [`ChannelLayer`] gains methods only with
//! defaults.
//!
//! [ASGI]: https://channels.readthedocs.io/en/1.x/asgi.html
#![forbid(unsafe_code)]

mod backoff;
pub mod blocking;
mod capacity;
pub mod codec;
pub mod config;
mod counter;
#[cfg(feature = "encryption")]
pub mod crypto;
mod display;
mod dropped;
mod error;
mod glob;
mod inmemory;
mod layer;
mod map;
mod message;
pub mod metrics;
mod name;
pub mod protocol;
mod recipient;
mod serde;
mod split;
mod statistics;
mod value;

/// The README's example is compiled and run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use bytestring::ByteString;

pub use backoff::Backoff;
pub use capacity::Capacities;
pub use config::LayerConfig;
pub use counter::Counter;
pub use dropped::DroppedDeliveries;
pub use error::{BoxError, Error, Result};
pub use glob::Glob;
pub use inmemory::{InMemoryChannelLayer, InMemoryChannelLayerBuilder};
pub use layer::{ChannelLayer, ChannelLayerExt, Extension, Flush, Groups, Statistics};
pub use map::{Iter, Map};
pub use message::Message;
pub use name::{ChannelKind, ChannelName, ChannelPattern, GroupName, MAX_NAME_LENGTH};
pub use recipient::{Attachment, Recipient};
pub use split::{SelectiveGroups, SplitChannelLayer};
pub use statistics::{ChannelStatistics, GlobalStatistics};
pub use value::{Value, ValueKind};
