//! Commands that run an application: as a ready-made command line ([`main`], [`execute`]) and as
//! functions ([`runserver()`], [`runworker()`]).
//!
//! ```no_run
//! use std::process::ExitCode;
//! use channels::{Application, Router, management};
//!
//! fn main() -> channels::Result<ExitCode> {
//!     let application = Application::builder()
//!         .router(Router::new())
//!         .build()?;
//!     Ok(management::main(application))
//! }
//! ```
//!
//! makes a program with the commands
//!
//! | command | what it runs |
//! |---|---|
//! | `runserver [ADDRPORT]` | protocol server and workers in one process; for development and small sites |
//! | `runworker` | workers, for a protocol server (`daphne`) in another process |
//!
//! Exit status: 0 if the command was stopped with SIGTERM or SIGINT and ended in order, 2 if it
//! was called or configured wrongly, 1 if it failed otherwise, 128 and the number of the signal if
//! a second one cut it off.

mod address;
mod cli;
mod console;
mod logging;
mod runserver;
mod runworker;
mod signals;
mod threads;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::application::Application;
use crate::error::Error;

pub use address::ServerAddress;
pub use runserver::{RunserverOptions, runserver};
pub use runworker::{RunworkerOptions, runworker};
pub use signals::shutdown_signal;

/// Runs the command in the program's arguments. For the `main` of a program that is not async.
pub fn main(application: Application) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let status = runtime.block_on(execute(application, std::env::args_os()));
            ExitCode::from(status)
        }
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command in `args`, of which the first is the program's name, and returns the exit
/// status the program should end with.
///
/// Errors are written to standard error, and so are log messages unless the program has set up
/// logging itself.
pub async fn execute<I>(application: Application, args: I) -> u8
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    match cli::run(application, args).await {
        Ok(()) => SUCCESS,
        Err(cli::Failure::Usage(error)) => {
            // There is no one left to tell if standard error is closed.
            let _ = error.print();
            if error.use_stderr() { USAGE } else { SUCCESS }
        }
        Err(cli::Failure::Command(error)) => {
            eprintln!("error: {}", chain(&error));
            if is_usage(&error) { USAGE } else { FAILURE }
        }
    }
}

const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;
const USAGE: u8 = 2;

/// Whether the error is in how the command was called or configured.
const fn is_usage(error: &Error) -> bool {
    matches!(
        error,
        Error::Config { .. }
            | Error::UnknownAlias { .. }
            | Error::NoChannels { .. }
            | Error::Layer(asgiref::Error::Config { .. } | asgiref::Error::Unsupported { .. })
            | Error::Server(
                daphne::Error::Layer { .. }
                    | daphne::Error::Option { .. }
                    | daphne::Error::Endpoint { .. }
                    | daphne::Error::NoEndpoint
            )
    )
}

/// The error with all its causes, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
