use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

/// The crates whose messages `--verbosity` 2 and 3 show in full.
const OURS: [&str; 6] = [
    "channels",
    "daphne",
    "asgiref",
    "asgi_redis",
    "asgi_rabbitmq",
    "asgi_ipc",
];

/// Writes log messages to standard error: 0 warnings, 1 also what goes on, 2 also each message
/// that is consumed, 3 everything. `RUST_LOG` goes before. Does nothing if the program has set up
/// logging itself.
pub(super) fn init(verbosity: u8) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| filter(verbosity));
    // An error means that there is a subscriber, and that is just as well.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
}

fn filter(verbosity: u8) -> EnvFilter {
    let ours = match verbosity {
        // What goes wrong with a broker is told by `asgi-rabbitmq` in its own words, and some of
        // what `lapin` calls errors is none.
        0 => return EnvFilter::new("warn,lapin=off"),
        1 => return EnvFilter::new("info,lapin=off"),
        2 => "debug",
        _ => "trace",
    };
    let directives = OURS.map(|name| format!("{name}={ours}"));
    EnvFilter::new(format!("info,{}", directives.join(",")))
}
