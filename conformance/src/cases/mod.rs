//! The cases: each an ordinary function that panics if the layer breaks its rule.
//!
//! Every function asks the harness for a layer of its own, so cases can run in any order and at
//! the same time. They are run by [`suite!`](crate::suite) and [`run`](crate::run), which give
//! each its own runtime; to call one by hand, await it within a tokio runtime (with a paused clock
//! if the harness says [`VIRTUAL_TIME`](crate::Harness::VIRTUAL_TIME)).
//!
//! "Python" names the test of asgiref's `ConformanceTestCase` that checks the same.

mod cancellation;
mod capacity;
mod concurrency;
mod delivery;
mod expiry;
mod extensions;
mod fairness;
mod flush;
mod groups;
mod memberships;
mod messages;
mod names;
mod new_channel;
mod ordering;
mod process_specific;
mod send_receive;
mod sizes;
mod statistics;

pub use cancellation::*;
pub use capacity::*;
pub use concurrency::*;
pub use delivery::*;
pub use expiry::*;
pub use extensions::*;
pub use fairness::*;
pub use flush::*;
pub use groups::*;
pub use memberships::*;
pub use messages::*;
pub use names::*;
pub use new_channel::*;
pub use ordering::*;
pub use process_specific::*;
pub use send_receive::*;
pub use sizes::*;
pub use statistics::*;
