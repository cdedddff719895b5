//! Connections: one for commands; for each receive loop one for blocking reads and one that
//! listens; and how each is restored.

mod address;
mod batch;
mod ear;
mod line;
mod options;
mod pipe;
mod resp;
mod server;
mod stream;

pub(crate) use address::{Address, PORT, Place, SENTINEL_PORT};
pub(crate) use batch::{Batch, Part};
pub(crate) use ear::Ear;
pub(crate) use line::Line;
pub(crate) use options::ConnectionOptions;
pub(crate) use pipe::Work;
pub(crate) use resp::{Command, Reply, encode_words, read as read_reply};
pub(crate) use server::{Resolver, Server, connect, jittered_pause};
