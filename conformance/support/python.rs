//! The Python originals of 2017, from `PyPI`: `channels`, `daphne` and channel layers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use asgiref::Message;
use serde_json::{Value as Json, json};

use super::process::{Process, succeed};
use super::typed;

/// A class of channel layers in Python.
#[derive(Clone, Debug)]
pub struct Backend {
    class: &'static str,
    folder: Option<PathBuf>,
}

impl Backend {
    /// One that is installed with the originals, by its module and name.
    pub const fn installed(class: &'static str) -> Self {
        Self {
            class,
            folder: None,
        }
    }

    /// One whose module is in `folder`.
    pub const fn in_folder(class: &'static str, folder: PathBuf) -> Self {
        Self {
            class,
            folder: Some(folder),
        }
    }

    /// A command that runs Python with the originals installed. Installs them if they are not:
    /// that takes half a minute, once.
    pub fn python(&self) -> Command {
        let mut command = Command::new(environment().join("bin/python"));
        let folders = [folder().join("shims"), folder().join("site")];
        let path = std::env::join_paths(folders.iter().chain(&self.folder));
        command.env("PYTHONPATH", path.expect("no colons in the path"));
        command.env("PYTHONUNBUFFERED", "1");
        command
    }
}

/// A running interpreter, which holds layers of one class.
#[derive(Debug)]
pub struct Python {
    class: &'static str,
    pipes: Mutex<Pipes>,
    layers: AtomicUsize,
    /// Ends after the pipes are closed.
    _process: Process,
}

#[derive(Debug)]
struct Pipes {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// An exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The name of its class.
    pub class: String,
    pub text: String,
}

impl Python {
    pub fn start(backend: &Backend) -> Self {
        let mut command = backend.python();
        command.arg(folder().join("layer.py"));
        let (process, stdin, stdout) = Process::start_with_pipes("python", &command);
        Self {
            class: backend.class,
            pipes: Mutex::new(Pipes {
                stdin,
                stdout: BufReader::new(stdout),
            }),
            layers: AtomicUsize::new(0),
            _process: process,
        }
    }

    /// A layer. `options` are the arguments of its constructor.
    pub fn layer(&self, options: &Json) -> PythonLayer<'_> {
        let name = self.layers.fetch_add(1, Ordering::SeqCst).to_string();
        let request = json!({"op": "open", "class": self.class, "layer": name, "options": options});
        self.ask(&request).expect("the layer is made");
        PythonLayer { python: self, name }
    }

    fn ask(&self, request: &Json) -> Result<Json, Exception> {
        // A test that failed here has left nothing half done.
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipes.stdin, "{request}").expect("Python reads");
        let mut line = String::new();
        let read = pipes
            .stdout
            .read_line(&mut line)
            .expect("Python writes text");
        assert!(read > 0, "Python has ended");
        let mut answer: Json = serde_json::from_str(&line).expect("Python writes JSON");
        if let Some(result) = answer.get_mut("ok") {
            return Ok(result.take());
        }
        let text = |key: &str| answer[key].as_str().expect("text").to_owned();
        Err(Exception {
            class: text("error"),
            text: text("text"),
        })
    }
}

/// A layer of an original. Calls block the thread until Python has answered.
#[derive(Debug)]
pub struct PythonLayer<'a> {
    python: &'a Python,
    name: String,
}

impl PythonLayer<'_> {
    pub fn send(&self, channel: &str, message: &Message) -> Result<(), Exception> {
        self.send_typed(channel, &typed::typed_message(message))
    }

    /// As [`send`](Self::send), for messages only Python can express.
    pub fn send_typed(&self, channel: &str, message: &Json) -> Result<(), Exception> {
        let arguments = json!({"channel": channel, "message": message});
        self.call("send", arguments).map(drop)
    }

    /// What is there now.
    pub fn try_receive(&self, channels: &[&str]) -> Result<Option<(String, Message)>, Exception> {
        self.receive_blocking_or_not(channels, false)
    }

    /// Waits, for at most five seconds.
    pub fn receive(&self, channels: &[&str]) -> Result<Option<(String, Message)>, Exception> {
        self.receive_blocking_or_not(channels, true)
    }

    fn receive_blocking_or_not(
        &self,
        channels: &[&str],
        block: bool,
    ) -> Result<Option<(String, Message)>, Exception> {
        let answer = self.call("receive", json!({"channels": channels, "block": block}))?;
        Ok(answer.as_array().map(|answer| {
            let channel = answer[0].as_str().expect("a name").to_owned();
            (channel, typed::message(&answer[1]))
        }))
    }

    pub fn new_channel(&self, pattern: &str) -> Result<String, Exception> {
        let answer = self.call("new_channel", json!({"pattern": pattern}))?;
        Ok(answer.as_str().expect("a name").to_owned())
    }

    pub fn group_add(&self, group: &str, channel: &str) -> Result<(), Exception> {
        let arguments = json!({"group": group, "channel": channel});
        self.call("group_add", arguments).map(drop)
    }

    pub fn group_discard(&self, group: &str, channel: &str) -> Result<(), Exception> {
        let arguments = json!({"group": group, "channel": channel});
        self.call("group_discard", arguments).map(drop)
    }

    /// The members, in order.
    pub fn group_channels(&self, group: &str) -> Result<Vec<String>, Exception> {
        let answer = self.call("group_channels", json!({"group": group}))?;
        Ok(serde_json::from_value(answer).expect("a list of names"))
    }

    pub fn send_group(&self, group: &str, message: &Message) -> Result<(), Exception> {
        let arguments = json!({"group": group, "message": typed::typed_message(message)});
        self.call("send_group", arguments).map(drop)
    }

    /// The figures by their names.
    pub fn global_statistics(&self) -> Result<Json, Exception> {
        self.call("global_statistics", json!({}))
    }

    /// The figures by their names.
    pub fn channel_statistics(&self, channel: &str) -> Result<Json, Exception> {
        self.call("channel_statistics", json!({"channel": channel}))
    }

    pub fn flush(&self) -> Result<(), Exception> {
        self.call("flush", json!({})).map(drop)
    }

    /// The server that `name` belongs on, as an index into the hosts.
    pub fn shard_of(&self, name: &str) -> Result<usize, Exception> {
        let answer = self.call("shard_of", json!({"name": name}))?;
        Ok(serde_json::from_value(answer).expect("an index"))
    }

    fn call(&self, op: &str, mut arguments: Json) -> Result<Json, Exception> {
        arguments["op"] = op.into();
        arguments["layer"] = self.name.as_str().into();
        self.python.ask(&arguments)
    }
}

/// The small Channels 1.x site that is among the tests.
#[derive(Debug)]
pub struct PythonSite {
    backend: Backend,
    options: Json,
    quiet: bool,
}

impl PythonSite {
    /// With a layer. `options` are the arguments of its constructor.
    pub fn new(backend: Backend, options: Json) -> Self {
        Self {
            backend,
            options,
            quiet: false,
        }
    }

    /// Without a log of what is asked for.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Starts a worker. It has work when it is ready.
    pub fn worker(&self) -> Process {
        let mut command = self.python();
        command.args(["-m", "django", "runworker"]);
        Process::start("python's worker", &command)
    }

    /// Starts daphne on `port`.
    pub fn daphne(&self, port: u16) -> Process {
        let mut command = self.python();
        command.arg(environment().join("bin/daphne"));
        // Their other way to read leaves the bodies of messages behind.
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--force-sync",
        ]);
        if self.quiet {
            command.args(["--verbosity", "0"]);
        }
        command.arg("project.asgi:channel_layer");
        Process::start("python's daphne", &command)
    }

    fn python(&self) -> Command {
        let mut command = self.backend.python();
        let layer = json!({"BACKEND": self.backend.class, "CONFIG": self.options});
        command.env("DJANGO_SETTINGS_MODULE", "project.settings");
        command.env("CHANNEL_LAYER", layer.to_string());
        command.current_dir(folder().join("site"));
        command
    }
}

/// Where our files for Python are.
fn folder() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../conformance/support/python"
    ))
}

/// The virtual environment, which is kept with the results of compilation.
fn environment() -> &'static Path {
    static ENVIRONMENT: OnceLock<PathBuf> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-originals");
        succeed(Command::new(folder().join("install.sh")).arg(&environment));
        environment
    })
}
