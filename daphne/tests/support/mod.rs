//! What the tests of the server share: a server in the test's process, the application behind
//! the channel layer, and clients that speak raw bytes.
//!
//! Nothing here waits longer than [`LIMIT`]; whoever waits says what for.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part of this module"
)]

pub mod app;
pub mod client;
pub mod frames;
pub mod http;
pub mod layer;
pub mod log;
pub mod pattern;
pub mod process;
pub mod replay;
pub mod server;
pub mod transcript;
pub mod vectors;
pub mod websocket;

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

/// The longest any single step of a test may take. It bounds a failing test, no passing one
/// comes near it.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Awaits `future`, and fails the test with `what` if that takes longer than [`LIMIT`].
#[track_caller]
pub fn within<F: Future>(what: impl Display, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        tokio::time::timeout(LIMIT, future)
            .await
            .unwrap_or_else(|_| panic!("{caller}: {what}: did not happen within {LIMIT:?}"))
    }
}

/// Waits until `condition` holds, looking again every few milliseconds.
#[track_caller]
pub fn until(what: impl Display, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(what, async move {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}
