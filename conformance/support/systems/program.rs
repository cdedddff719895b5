//! Programs for the tests: this test program, started again in another role.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;

use asgiref::ChannelLayer;
use channels::management::{RunworkerOptions, runworker, shutdown_signal};
use daphne::Server;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client::answers;
use super::site;
use crate::support::block_until;
use crate::support::names::channel;
use crate::support::port::free_port;
use crate::support::process::Process;
use crate::support::python::PythonSite;

/// Tells the program what it is.
const VARIABLE: &str = "ASGI_TEST_PROGRAM";

/// How both halves of a site reach each other.
pub trait SiteSettings: Clone + Serialize + DeserializeOwned {
    type Layer: ChannelLayer;

    /// A layer of ours.
    fn layer(&self) -> Self::Layer;

    /// The Python site with the same layer.
    fn python_site(&self) -> PythonSite;
}

/// The test program in another role.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Program<S> {
    settings: S,
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

impl<S: SiteSettings> Program<S> {
    /// Starts daphne, and returns the port on which it listens by then.
    pub fn daphne(settings: &S) -> (Process, u16) {
        let port = free_port();
        let role = Role::Daphne { port };
        let process = Process::start("our daphne", &Self::command(settings, role));
        block_until("our daphne to listen", || answers(port));
        (process, port)
    }

    /// Starts a worker. It has work when it is ready.
    pub fn worker(settings: &S) -> Process {
        Process::start("our worker", &Self::command(settings, Role::Worker))
    }

    /// Starts a reader, and returns the command that does, for its output to be read.
    pub fn reader(settings: &S, channel: &str) -> Command {
        let channel = channel.to_owned();
        Self::command(settings, Role::Reader { channel })
    }

    fn command(settings: &S, role: Role) -> Command {
        let program = Self {
            settings: settings.clone(),
            role,
        };
        let program = serde_json::to_string(&program).expect("it can be written as JSON");
        let mut command = Command::new(std::env::current_exe().expect("the test program"));
        command.args(["--exact", "program", "--ignored", "--nocapture"]);
        command.env(VARIABLE, program);
        command
    }

    /// Plays the role. To be called by an ignored test with the name `program`, in the root of
    /// the test program.
    pub async fn play() {
        let program = std::env::var(VARIABLE).expect("only the tests start this");
        let program: Self = serde_json::from_str(&program).expect("the tests write it");
        let layer = Arc::new(program.settings.layer());
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
}
