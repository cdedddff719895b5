//! What the tests of the layer share: real Redis servers, and what the tests of all such layers
//! have in common.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test program uses its own part of this module"
)]

pub mod cluster;
#[path = "../../../conformance/support/mod.rs"]
mod common;
pub mod pair;
pub mod resp;
pub mod sentinel;
pub mod server;

pub use common::{
    LIMIT, block_until, certificate, folder, names, port, process, proxy, python, traffic, typed,
    until, within, within_limit,
};
