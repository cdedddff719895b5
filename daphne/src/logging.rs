//! Logs of the command, to standard error.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging as `verbosity` says, or as `RUST_LOG` says if it is set.
pub(crate) fn start(verbosity: u8) {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        // What goes wrong with a broker is told by `asgi-rabbitmq` in its own words, and some of
        // what this library calls errors is none.
        let lapin = if verbosity < 2 { ",lapin=off" } else { "" };
        EnvFilter::new(format!("{level}{lapin}"))
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .init();
}
