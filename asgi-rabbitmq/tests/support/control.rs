//! The way to look into brokers and to command them, without starting a program each time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{ChildStdin, ChildStdout, Command};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::block_until;
use super::port::free_port;
use super::process::{Process, program};

/// What nodes of Erlang know each other by.
pub const COOKIE: &str = "tests";

/// The Debian package with everything that is needed.
pub const PACKAGE: &str = "rabbitmq-server";

/// A node of Erlang that evaluates expressions on others, and the port mapper that all nodes of
/// this test program use.
#[derive(Debug)]
pub struct Control {
    pipes: Mutex<Pipes>,
    mapper_port: u16,
    /// End in this order.
    _node: Process,
    _mapper: Process,
    _home: TempDir,
}

#[derive(Debug)]
struct Pipes {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Control {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Control> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let (mapper, mapper_port) = start_mapper();
        let home = TempDir::new().expect("a folder for the node");
        let mut command = Command::new(program("erl", PACKAGE));
        command.env("HOME", home.path());
        command.env("ERL_EPMD_PORT", mapper_port.to_string());
        command.args(["-noshell", "-hidden", "-sname", "control@localhost"]);
        command.args(["-setcookie", COOKIE]);
        command.args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
        command.args(["-eval", include_str!("control.erl")]);
        let (node, stdin, stdout) = Process::start_with_pipes("the control node", &command);
        Self {
            pipes: Mutex::new(Pipes {
                stdin,
                stdout: BufReader::new(stdout),
            }),
            mapper_port,
            _node: node,
            _mapper: mapper,
            _home: home,
        }
    }

    /// The port on which nodes of this test program find each other.
    pub fn mapper_port(&self) -> u16 {
        self.mapper_port
    }

    /// The value of a sequence of expressions on `node`, if it can be written as JSON.
    ///
    /// # Errors
    ///
    /// What Erlang says, if the node cannot be reached or an expression fails.
    pub fn evaluate(&self, node: &str, expressions: &str) -> Result<Json, String> {
        let line = expressions.replace('\n', " ");
        // A test that failed here has left nothing half done.
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipes.stdin, "{node} {line}.").expect("the control node reads");
        let mut answer = String::new();
        let read = pipes.stdout.read_line(&mut answer);
        assert!(
            read.expect("Erlang writes text") > 0,
            "the control node has ended"
        );
        match answer.trim_end().split_once(' ') {
            Some(("ok", value)) => Ok(serde_json::from_str(value).expect("Erlang writes JSON")),
            Some(("error", reason)) => Err(reason.to_owned()),
            _ => panic!("the control node says {answer}"),
        }
    }
}

/// `epmd` keeps to the foreground, and so ends with the test program.
fn start_mapper() -> (Process, u16) {
    let port = free_port();
    let mut command = Command::new(program("epmd", PACKAGE));
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    let process = Process::start("epmd", &command);
    block_until("epmd to listen", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    (process, port)
}
