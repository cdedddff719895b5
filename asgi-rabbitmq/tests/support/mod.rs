//! What the tests of the layer share: real brokers, and what the tests of all layers over servers
//! have in common.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test program uses its own part of this module"
)]

pub mod amqp;
pub mod broker;
pub mod cluster;
#[path = "../../../conformance/support/mod.rs"]
mod common;
pub mod control;
pub mod pair;
pub mod topology;

pub use common::{
    LIMIT, block_until, block_until_limit, certificate, folder, names, port, process, proxy,
    python, traffic, typed, until, within, within_limit,
};
