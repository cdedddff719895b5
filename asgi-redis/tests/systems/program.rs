//! Programs for the tests: this test program, started again in another role.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;

use asgiref::ChannelLayer as _;
use channels::management::{RunworkerOptions, runworker, shutdown_signal};
use daphne::Server;
use serde::{Deserialize, Serialize};

use crate::client::answers;
use crate::site;
use crate::support::block_until;
use crate::support::pair::{Settings, channel};
use crate::support::port::free_port;
use crate::support::process::Process;

/// Tells the program what it is.
const VARIABLE: &str = "ASGI_REDIS_TEST_PROGRAM";

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Program {
    settings: Settings,
    role: Role,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
enum Role {
    /// Serves HTTP and WebSocket on this port.
    Daphne { port: u16 },
    /// Runs the consumers of [`site`].
    Worker,
    /// Receives numbered messages on a channel, and prints their numbers.
    Reader { channel: String },
}

impl Program {
    /// Starts daphne, and returns the port on which it listens by then.
    pub(crate) fn daphne(settings: &Settings) -> (Process, u16) {
        let port = free_port();
        let role = Role::Daphne { port };
        let process = Process::start("our daphne", &command(settings, role));
        block_until("our daphne to listen", || answers(port));
        (process, port)
    }

    /// Starts a worker. It has work when it is ready.
    pub(crate) fn worker(settings: &Settings) -> Process {
        Process::start("our worker", &command(settings, Role::Worker))
    }

    /// Starts a reader, and returns the command that does, for its output to be read.
    pub(crate) fn reader(settings: &Settings, channel: &str) -> Command {
        let channel = channel.to_owned();
        command(settings, Role::Reader { channel })
    }
}

fn command(settings: &Settings, role: Role) -> Command {
    let program = Program {
        settings: settings.clone(),
        role,
    };
    let program = serde_json::to_string(&program).expect("it can be written as JSON");
    let mut command = Command::new(std::env::current_exe().expect("the test program"));
    command.args(["--exact", "program::program", "--ignored", "--nocapture"]);
    command.env(VARIABLE, program);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "this is a program that the tests start"]
async fn program() {
    let program = std::env::var(VARIABLE).expect("only the tests start this");
    let program: Program = serde_json::from_str(&program).expect("the tests write it");
    let layer = Arc::new(program.settings.ours());
    let shutdown = shutdown_signal().expect("signals can be handled");
    match program.role {
        Role::Daphne { port } => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port");
            let server = Server::builder(layer).listener(listener).build();
            let server = server.expect("the settings are valid");
            server.run(shutdown).await.expect("the server runs");
        }
        Role::Worker => {
            let application = site::application(layer);
            let ran = runworker(&application, RunworkerOptions::new(), shutdown).await;
            ran.expect("the worker runs");
        }
        Role::Reader { channel: name } => {
            let names = [channel(&name)];
            loop {
                let (_, message) = layer.receive(&names).await.expect("the layer works");
                let number = message.int("number").expect("a number");
                let mut output = std::io::stdout();
                writeln!(output, "number {number}").expect("the test reads");
            }
        }
    }
}
