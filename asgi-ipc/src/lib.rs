//! A POSIX shared memory channel layer: protocol servers and workers on one machine, without any
//! server between them.
//!
//! ```
//! use asgi_ipc::IpcChannelLayer;
//! use asgiref::{ChannelLayer as _, ChannelName, message};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> asgiref::Result<()> {
//! # let directory = tempfile::TempDir::new().unwrap();
//! # let builder = IpcChannelLayer::builder().directory(directory.path());
//! # let layer = builder.prefix("shop").build()?;
//! # /*
//! // In one process …
//! let layer = IpcChannelLayer::from_url("ipc://shop")?;
//! # */
//! let thumbnails = ChannelName::new("thumbnails")?;
//! layer.send(&thumbnails, message! { "picture" => 42 }).await?;
//! # let builder = IpcChannelLayer::builder().directory(directory.path());
//! # let layer = builder.prefix("shop").build()?;
//! # /*
//!
//! // … and in another.
//! let layer = IpcChannelLayer::from_url("ipc://shop")?;
//! # */
//! let (_, message) = layer.receive(&[thumbnails]).await?;
//! assert_eq!(message.int("picture")?, 42);
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//!
//! The three backend crates mirror each other: a file of the same name does the same job in each.
//!
//! * `config`: the builder and what a URL or a TOML table may say; shares its vocabulary with
//!   every layer.
//! * `error`: the transport's own errors and what they become in [`asgiref::Error`].
//! * `flush`: the flush extension.
//! * `groups`: the groups extension.
//! * `layer`: the ASGI API: send, receive, new channel.
//! * `statistics`: the statistics extension.
//!
//! Of this crate alone are
//!
//! * `clock`: the time that all processes share.
//! * `file`, `layout` and `segment`: a segment as a file, as tables of records, and as memory; the
//!   last is the one place of this crate with unsafe code.
//! * `lock`: a lock that survives the death of the process holding it.
//! * `store`: channels, messages and groups inside a segment, and how they are repaired.
//! * `peers`, `waiting` and `watchdog`: waiting for messages, waking those who wait, and looking
//!   after those who died.
//! * `shared`: what the handles to one layer share.
//! * [`inspect`]: looking at segments, as the `asgi-ipc` command does.
#![doc = include_str!("docs.md")]
#![deny(unsafe_code)]
#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of a type with a lifetime, named alone, is for one lifetime only"
)]

mod clock;
mod config;
mod error;
mod file;
mod flush;
mod groups;
pub mod inspect;
mod layer;
mod layout;
mod lock;
mod peers;
mod presence;
mod segment;
mod shared;
mod statistics;
mod store;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod waiting;
mod watchdog;

pub use config::IpcChannelLayerBuilder;
pub use error::Error;
pub use layer::IpcChannelLayer;

/// URL schemes that name this layer.
pub const SCHEMES: &[&str] = &["ipc"];
