//! Processes that do something when they are told to, ours and Python's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command};

use crate::Outcome;
use crate::support::pair::ORIGINAL;
use crate::support::process::Process;
use crate::support::server::RedisServer;

/// What the first argument of this program begins with if it is one of the processes.
pub(crate) const ROLE: &str = "role:";

/// Whose process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// With so many calls under way at once.
    Ours {
        at_once: usize,
    },
    Python,
}

/// A process that sends or receives `count` messages each time it is told to.
#[derive(Debug)]
pub(crate) struct Peer {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _process: Process,
}

/// What a peer did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// When it began to send or ended receiving, in seconds of Unix time; how many seconds it took
    /// if it did both.
    pub(crate) at: f64,
    pub(crate) messages: usize,
}

impl Peer {
    pub(crate) fn start(
        side: Side,
        role: &str,
        server: &RedisServer,
        count: usize,
    ) -> Outcome<Self> {
        let command = match side {
            Side::Ours { at_once } => {
                let mut command = ours(role)?;
                command.args([server.url(), count.to_string(), at_once.to_string()]);
                command
            }
            Side::Python => {
                let mut command = ORIGINAL.python();
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/python/peer.py");
                command.arg(script).arg(role);
                command.args([server.url(), count.to_string()]);
                command
            }
        };
        let (process, stdin, stdout) = Process::start_with_pipes(role, &command);
        Ok(Self {
            stdin,
            stdout: BufReader::new(stdout),
            _process: process,
        })
    }

    /// Tells it to begin.
    pub(crate) fn begin(&mut self) -> Outcome {
        Ok(writeln!(self.stdin)?)
    }

    /// Waits until it is done.
    pub(crate) fn done(&mut self) -> Outcome<Done> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let (at, messages) = line.trim().split_once(' ').ok_or("a peer has failed")?;
        Ok(Done {
            at: at.parse()?,
            messages: messages.parse()?,
        })
    }
}

/// The command of a process of ours.
pub(crate) fn ours(role: &str) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(format!("{ROLE}{role}"));
    Ok(command)
}
