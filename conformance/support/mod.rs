//! What the tests of layers over servers share: a network that fails on purpose, traffic that is
//! counted, the Python originals, and programs in processes of their own.
//!
//! Each such crate includes this file in its own `tests/support`.
//!
//! Nothing here waits longer than [`LIMIT`]; whoever waits says what for. Whatever is started ends
//! with the value that stands for it, and at the latest with the test program, however that ends.
pub mod certificate;
pub mod folder;
pub mod names;
pub mod port;
pub mod process;
pub mod proxy;
pub mod python;
pub mod traffic;
pub mod typed;

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

/// The longest any single step of a test may take. It bounds a failing test, no passing one
/// comes near it.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How often a condition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Awaits `future`, and fails the test with `what` if that takes longer than [`LIMIT`].
#[track_caller]
pub fn within<F: Future>(what: impl Display, future: F) -> impl Future<Output = F::Output> {
    within_limit(LIMIT, what, future)
}

/// Awaits `future`, and fails the test with `what` if that takes longer than `limit`.
#[track_caller]
pub fn within_limit<F: Future>(
    limit: Duration,
    what: impl Display,
    future: F,
) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        tokio::time::timeout(limit, future)
            .await
            .unwrap_or_else(|_| panic!("{caller}: {what}: did not happen within {limit:?}"))
    }
}

/// Waits until `condition` holds; leaves the thread to others meanwhile.
#[track_caller]
pub fn until(what: impl Display, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(what, async move {
        while !condition() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
}

/// Waits until `condition` holds, and blocks the thread meanwhile.
#[track_caller]
pub fn block_until(what: impl Display, condition: impl FnMut() -> bool) {
    block_until_limit(LIMIT, what, condition);
}

/// As [`block_until`], for as long as `limit`.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "servers are also started and stopped outside of a runtime"
)]
pub fn block_until_limit(limit: Duration, what: impl Display, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < limit,
            "{what}: did not happen within {limit:?}"
        );
        std::thread::sleep(LOOK_AGAIN);
    }
}
