//! Measures the whole stack, daphne to consumer and back, side by side with the bare libraries.
//!
//! Run with
//!
//! ```text
//! cargo run --release -p examples --bin bench
//! ```
//!
//! Servers run in child processes, the load on one thread of this one. Figures of one run can be
//! compared with each other, those of different machines cannot: look at the ratios.

mod cases;
mod child;
mod load;
mod options;
mod report;
mod servers;
mod stats;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime;

use options::{Options, Role};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = match options.role {
        Some(Role::Serve { side }) => serve(side),
        None => measure(&options),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("bench: {error}");
        ExitCode::FAILURE
    })
}

fn serve(side: options::Side) -> Result<ExitCode> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(servers::serve(side))?;
    Ok(ExitCode::SUCCESS)
}

fn measure(options: &Options) -> Result<ExitCode> {
    // One thread: the load must leave room for the servers, the same for each.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(cases::run(options))?;
    print!("{report}");
    if options.check && !report.is_met() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
