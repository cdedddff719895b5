//! The other process: this program again, which connects to a socket and does what its role says.

use std::io::Read as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::floor::Frames;
use crate::{floor, layers};

const ROLE: &str = "ASGI_IPC_BENCH_ROLE";
const DIRECTORY: &str = "ASGI_IPC_BENCH_DIRECTORY";
const PROCESSOR: &str = "ASGI_IPC_BENCH_PROCESSOR";
const LAYER: &str = "ASGI_IPC_BENCH_LAYER";
const CHANNEL: &str = "ASGI_IPC_BENCH_CHANNEL";

/// Where a measurement is made.
pub(crate) struct Place<'a> {
    pub(crate) name: &'static str,
    pub(crate) directory: &'a Path,
    /// Of this process and of the other one.
    processors: [usize; 2],
}

impl<'a> Place<'a> {
    pub(crate) fn one(directory: &'a Path) -> Self {
        Self {
            name: "one processor",
            directory,
            processors: [0, 0],
        }
    }

    pub(crate) fn both(directory: &'a Path) -> [Self; 2] {
        let two = Self {
            name: "two processors",
            directory,
            processors: [0, 1],
        };
        [Self::one(directory), two]
    }

    /// The processors, for other programs.
    pub(crate) fn processors(&self) -> String {
        let [one, other] = self.processors;
        format!("{one},{other}")
    }

    /// Starts the other process; the connection to it.
    pub(crate) fn start(&self, role: &str, layer: &str, channel: &str) -> Other {
        pin(self.processors[0]);
        let socket = self.directory.join("socket");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("a socket in a directory of our own");
        let process = Command::new(std::env::current_exe().expect("this program"))
            .env(ROLE, role)
            .env(DIRECTORY, self.directory)
            .env(PROCESSOR, self.processors[1].to_string())
            .env(LAYER, layer)
            .env(CHANNEL, channel)
            .spawn()
            .expect("this program again");
        let (stream, _) = listener.accept().expect("the child connects");
        Other { process, stream }
    }
}

/// Keeps this process to a processor.
fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).expect("there is such a processor");
}

/// The other process, seen from this one.
pub(crate) struct Other {
    process: std::process::Child,
    pub(crate) stream: UnixStream,
}

impl Other {
    /// Waits until it says so.
    pub(crate) fn is_ready(&mut self) {
        self.stream
            .read_exact(&mut [0])
            .expect("the child goes on until it says so");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// This process, if it is the other one.
pub(crate) struct Child {
    role: String,
    pub(crate) directory: PathBuf,
    pub(crate) layer: String,
    pub(crate) channel: String,
    pub(crate) parent: UnixStream,
}

impl Child {
    pub(crate) fn of_environment() -> Option<Self> {
        let role = std::env::var(ROLE).ok()?;
        let given = |name| std::env::var(name).expect("given with the role");
        pin(given(PROCESSOR).parse().expect("a number"));
        let directory = PathBuf::from(given(DIRECTORY));
        Some(Self {
            role,
            layer: given(LAYER),
            channel: given(CHANNEL),
            parent: UnixStream::connect(directory.join("socket")).expect("the parent listens"),
            directory,
        })
    }

    pub(crate) fn run(self) {
        match self.role.as_str() {
            "socket-echo" => floor::echo(self.parent),
            "socket-sink" => floor::sink(self.parent, Frames::Messages),
            "socket-sink-opaque" => floor::sink(self.parent, Frames::Opaque),
            "layer-echo" => layers::echo(self),
            "layer-sink" => layers::sink(self),
            other => panic!("no role is called {other}"),
        }
    }
}
