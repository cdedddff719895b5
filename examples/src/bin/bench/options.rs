use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures the whole stack against the bare libraries it is built on, side by side.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// What to measure; everything if not given.
    #[arg(value_enum)]
    pub(crate) cases: Vec<Case>,

    /// How many times each side of a comparison is measured, in turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,

    /// How long one measurement takes, in seconds.
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub(crate) seconds: Duration,

    /// How many WebSockets the memory measurement opens.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sockets: u32,

    /// End with an error if a target is not met.
    #[arg(long)]
    pub(crate) check: bool,

    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// A thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// HTTP "hello" against the same axum router behind `axum::serve`.
    Http,
    /// The same with daphne and the worker in processes of their own, over shared memory.
    Separate,
    /// WebSocket echo against a bare tokio-tungstenite echo.
    Echo,
    /// Memory per idle WebSocket.
    Idle,
    /// Memory while a large request body comes in.
    Upload,
}

impl Options {
    /// Whether `case` was asked for.
    pub(crate) fn wants(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }
}

/// What the program is when it runs as its own child.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Role {
    /// Serves for the measuring parent until its standard input ends.
    #[command(hide = true)]
    Serve {
        /// What serves.
        #[arg(value_enum)]
        side: Side,
    },
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// daphne, the in-memory layer and a worker in one process.
    Stack,
    /// daphne alone; the worker is a process of its own.
    Separate,
    /// The worker of `separate`, which starts it.
    Worker,
    /// The stack's axum router behind `axum::serve`.
    Axum,
    /// A tokio-tungstenite echo.
    Tungstenite,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "must be more than zero".to_owned())
}
