//! Runnable programs, each showing one idea; `README.md` says which. Here is only what they have
//! in common.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use channels::{Application, management};
use tokio::runtime;

/// Runs the command in the program's arguments, as [`management::main`] does; without one,
/// `runserver`, so that an example needs no more than its name to run.
///
/// # Errors
///
/// If the runtime cannot be started.
pub fn run(application: Application) -> std::io::Result<ExitCode> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let arguments = with_command(std::env::args_os().collect());
    let status = runtime.block_on(management::execute(application, arguments));
    Ok(ExitCode::from(status))
}

/// Puts in `runserver` where the name of a command would stand.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const KNOWN: [&str; 4] = ["runserver", "runworker", "--help", "-h"];
    let has_command = arguments
        .get(1)
        .is_some_and(|first| KNOWN.iter().any(|known| first == known));
    if !has_command {
        arguments.insert(arguments.len().min(1), "runserver".into());
    }
    arguments
}

/// The examples of the workspace's README, which are compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runserver_is_the_command_if_none_is_given() {
        for (given, run) in [
            (&["chat"][..], &["chat", "runserver"][..]),
            (&["chat", "8001"], &["chat", "runserver", "8001"]),
            (
                &["chat", "--layer", "memory:"],
                &["chat", "runserver", "--layer", "memory:"],
            ),
            (&["chat", "runworker"], &["chat", "runworker"]),
            (&["chat", "--help"], &["chat", "--help"]),
        ] {
            let given = given.iter().map(OsString::from).collect();
            assert_eq!(with_command(given), run);
        }
    }
}
