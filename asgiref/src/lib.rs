//! Channel layers: the messages, the names, the contract, and one that lives in memory.
#![forbid(unsafe_code)]

pub mod blocking;
mod capacity;
pub mod config;
mod display;
mod error;
mod glob;
mod inmemory;
mod layer;
mod map;
mod message;
mod name;
pub mod protocol;
mod serde;
mod statistics;
mod value;

pub use bytes::Bytes;
pub use bytestring::ByteString;

pub use capacity::Capacities;
pub use config::LayerConfig;
pub use error::{BoxError, Error, Result};
pub use glob::Glob;
pub use inmemory::{InMemoryChannelLayer, InMemoryChannelLayerBuilder};
pub use layer::{ChannelLayer, ChannelLayerExt, Extension, Flush, Groups, Statistics};
pub use map::{Iter, Map};
pub use message::Message;
pub use name::{ChannelKind, ChannelName, ChannelPattern, GroupName, MAX_NAME_LENGTH};
pub use statistics::{ChannelStatistics, GlobalStatistics};
pub use value::{Value, ValueKind};
