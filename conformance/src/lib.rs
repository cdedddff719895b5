//! The suite that every channel layer must pass, whoever wrote it.
//!
//! A channel layer is a promise: messages arrive once, in order where order is promised, not after
//! they expired, within the capacity. This crate holds that promise as about a hundred cases,
//! each with the part of the [ASGI specification] it checks. The layers of this workspace run it; so can yours.
//!
//! **Stability.** A minor release may add cases, and a layer that passed may then fail. Pin the
//! version in continuous integration, and read the change log when you move.
//!
//! # Running it from your crate
//!
//! Add `conformance` to the dev-dependencies and write one file, `tests/conformance.rs`:
//!
//! ```
//! use std::time::Duration;
//!
//! use asgiref::{InMemoryChannelLayer, LayerConfig};
//! use conformance::Harness;
//!
//! struct InMemory;
//!
//! impl Harness for InMemory {
//!     type Layer = InMemoryChannelLayer;
//!     const EXPIRY: Duration = Duration::from_millis(500);
//!     const CAPACITY: Option<usize> = Some(10);
//!
//!     async fn layer(&self) -> InMemoryChannelLayer {
//!         let config = LayerConfig::new()
//!             .expiry(Self::EXPIRY)
//!             .group_expiry(4 * Self::EXPIRY)
//!             .capacity(10);
//!         InMemoryChannelLayer::with_config(config)
//!     }
//! }
//!
//! conformance::suite!(InMemory);
//! # fn main() {}
//! ```
//!
//! That is all: [`suite!`] makes a `#[test]` of every case, so `cargo test` names them, runs them
//! in parallel and filters them. [`Harness`] has the knobs.
//!
//! * **A layer over a server** makes each layer one that no other case sees: a new prefix, virtual
//!   host or segment name. Let the server's own expiry clean up, since a case that fails cleans up
//!   nothing. It also implements [`Harness::clients`], so that writers and readers have connections
//!   of their own. If the server is missing, panic with the command that installs it.
//! * **A layer in memory** that takes its time from [`tokio::time`] sets
//!   [`Harness::VIRTUAL_TIME`]; then no case waits.
//! * **A layer without an extension** says so in [`Harness::EXTENSIONS`]. The cases about it are
//!   skipped, and say so on standard error.
//! * **A layer that means to differ** declares it with a reason, which `cargo test` prints:
//!
//! ```
//! # use conformance::Harness;
//! # struct MyHarness;
//! # impl Harness for MyHarness {
//! #     type Layer = asgiref::InMemoryChannelLayer;
//! #     async fn layer(&self) -> Self::Layer { asgiref::InMemoryChannelLayer::new() }
//! # }
//! conformance::suite!(MyHarness, ignore {
//!     group_message_expiry_drops_membership: "memberships end with the group expiry only",
//! });
//! # fn main() {}
//! ```
//!
//! # Running it from a program
//!
//! [`run`] gives a [`Report`], to print or to inspect; [`run_case`] runs one case. With
//! `type Layer = Arc<dyn ChannelLayer>` the layer can be one that is chosen at run time.
//!
//! ```
//! # use conformance::Harness;
//! # struct InMemory;
//! # impl Harness for InMemory {
//! #     type Layer = asgiref::InMemoryChannelLayer;
//! #     async fn layer(&self) -> Self::Layer { asgiref::InMemoryChannelLayer::new() }
//! # }
//! let report = conformance::run_selected(InMemory, |case| case.starts_with("new_channel"));
//! assert!(report.is_success(), "{report}");
//! ```
//!
//! # What a failure says
//!
//! The rule first, then what happened: "capacity is counted up to the `!`: send to `chanp!final`
//! was accepted". No case waits for ever: a call that does not return is reported with its name
//! and its channels after [`Harness::STEP_LIMIT`], and a layer that blocks its thread after
//! [`Harness::CASE_LIMIT`].
//!
//! In real time a case can fail because the machine stood still while messages expired. The runner
//! measures that; a case that fails during such a stall is tried again, three times in all.
//!
//! # The suite is tested
//!
//! `tests/broken.rs` runs it on a layer with about a hundred faults, one at a time: each must fail
//! the cases about its rule and no others, and there is no case that none of them fails.
//!
#![doc = include_str!("cases.md")]
//!
//! [ASGI specification]: https://channels.readthedocs.io/en/1.x/asgi.html
#![forbid(unsafe_code)]

mod ahead;
pub mod cases;
mod client;
mod harness;
mod macros;
mod outcome;
mod runner;
mod stall;
mod traffic;

pub use harness::Harness;
pub use outcome::{CaseReport, Outcome, Report, Skipped};
pub use runner::{case_names, run, run_case, run_selected};

#[doc(hidden)]
pub use ahead::Ahead;
#[doc(hidden)]
pub use macros::{names, test_case};
