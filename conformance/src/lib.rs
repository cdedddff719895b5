//! The suite that every channel layer must pass, whoever wrote it.
#![forbid(unsafe_code)]

pub mod cases;
mod client;
mod harness;
mod macros;
mod outcome;
mod run;
mod stall;
mod traffic;

pub use harness::Harness;
pub use outcome::{CaseReport, Outcome, Report, Skipped};
pub use run::{case_names, run, run_case};

#[doc(hidden)]
pub use macros::{names, test_case};
