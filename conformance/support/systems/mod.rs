//! Protocol servers and workers, ours and the Python originals', in processes of their own.
//!
//! What tests of whole sites over some channel layer have in common. Each such crate includes this
//! file in its `tests/systems`, beside its `support`.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part of this module"
)]

pub mod client;
pub mod halves;
pub mod outage;
pub mod program;
pub mod readers;
pub mod restart;
mod site;
