//! Programs the tests run.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::block_until;

/// The path of an installed program. Fails the test with the command that installs it if it is
/// not there.
pub fn program(name: &str, package: &str) -> PathBuf {
    let directories = std::env::var_os("PATH").expect("a search path");
    std::env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; run: apt-get install -y {package}"))
}

/// Runs a program to its end, which must be a success.
pub fn succeed(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A running program. It is killed when this value is dropped, and by the system when the test
/// program ends in any other way. If the test fails, what it wrote to its log is shown.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: File,
}

impl Process {
    /// Starts a program whose output is its log.
    pub fn start(name: impl Into<String>, command: &Command) -> Self {
        Self::spawn(name.into(), command, false)
    }

    /// Starts a program that is talked to over its standard input and output; its log is what it
    /// writes to standard error.
    pub fn start_with_pipes(
        name: impl Into<String>,
        command: &Command,
    ) -> (Self, ChildStdin, ChildStdout) {
        let mut process = Self::spawn(name.into(), command, true);
        let stdin = process.child.stdin.take().expect("its input is piped");
        let stdout = process.child.stdout.take().expect("its output is piped");
        (process, stdin, stdout)
    }

    fn spawn(name: String, command: &Command, piped: bool) -> Self {
        let log = tempfile::tempfile().expect("a file for the log");
        let handle = || Stdio::from(log.try_clone().expect("the file can be shared"));
        let mut wrapped = tied_to_this_program(command);
        if piped {
            wrapped.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            wrapped.stdin(Stdio::null()).stdout(handle());
        }
        wrapped.stderr(handle());
        let child = spawn(wrapped);
        let child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name, child, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the program has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops the program where it is: its connections stay open, and nothing happens on them.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks the program to end, as a service manager does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for the program's end.
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("{} to end", self.name);
        let mut status = None;
        block_until(what, || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        });
        status.expect("waited for")
    }

    /// Ends the program as a crash would (`kill -9`).
    pub fn kill(&mut self) {
        // An error here means that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What the program has written to its log until now.
    pub fn log(&self) -> String {
        let length = self.log.metadata().expect("an open file").len();
        let mut log = vec![0; usize::try_from(length).expect("a log fits into memory")];
        // Reads without moving the place in the file, which the program shares.
        self.log
            .read_exact_at(&mut log, 0)
            .expect("the log can be read");
        String::from_utf8_lossy(&log).into_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child has an id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("the log of {}:\n{}", self.name, self.log());
        }
    }
}

/// The command, with the wish that the system kill it when its parent ends.
fn tied_to_this_program(command: &Command) -> Command {
    let mut wrapped = Command::new(program("setpriv", "util-linux"));
    let fixed = ["--pdeathsig", "KILL", "--"].map(OsStr::new);
    wrapped.args(fixed);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

type Spawn = (Command, mpsc::Sender<io::Result<Child>>);

/// Spawns from a thread that lives as long as the program: what the system takes for the parent is
/// the thread, and that of a test ends with the test, although others may use the child.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Spawn>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Spawn>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                // Whoever asked waits for the answer, unless its thread was torn down.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (sender, answer) = mpsc::channel();
    spawner.send((command, sender)).expect("the spawner lives");
    answer.recv().expect("the spawner answers")
}

/// A path as text, for configuration files.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
