//! Other processes: this test program again, running one of its tests that is ignored otherwise.

use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SOCKET: &str = "ASGI_IPC_TEST_SOCKET";
const DIRECTORY: &str = "ASGI_IPC_TEST_DIRECTORY";

/// How long a copy of this program may be in use by others.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where children report to.
pub(crate) struct Parent {
    directory: PathBuf,
    socket: PathBuf,
    pub(crate) listener: UnixListener,
    /// What is started: this program, or a copy of it.
    pub(crate) program: PathBuf,
    /// The user and the group it is started as, if they are others.
    pub(crate) identity: Option<(u32, u32)>,
}

impl Parent {
    /// Children will use segments in `directory`.
    pub(crate) fn new(directory: &Path) -> Self {
        let socket = directory.join("parent");
        Self {
            listener: UnixListener::bind(&socket).expect("a socket in a directory of our own"),
            directory: directory.to_owned(),
            socket,
            program: std::env::current_exe().expect("this program has a file"),
            identity: None,
        }
    }

    /// Starts a process that runs the ignored test `role`.
    pub(crate) fn spawn(&self, role: &str) -> Child {
        let mut command = Command::new(&self.program);
        command
            .args(["--ignored", "--exact", role, "--nocapture"])
            .env(SOCKET, &self.socket)
            .env(DIRECTORY, &self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some((user, group)) = self.identity {
            command.uid(user).gid(group).current_dir("/");
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match command.spawn() {
                // Another test starts a program just now, with a handle to the copy that is being
                // written here; it is closed when that program runs.
                Err(error)
                    if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < end =>
                {
                    std::thread::yield_now();
                }
                spawned => return spawned.expect("this program can be started again"),
            }
        }
    }
}

/// In a child: the connection to the parent, and the directory of the segments.
pub(crate) fn connect() -> (UnixStream, PathBuf) {
    let socket = std::env::var_os(SOCKET).expect("started by another test of this file");
    let directory = std::env::var_os(DIRECTORY).expect("given together with the socket");
    let stream = UnixStream::connect(socket).expect("the parent listens");
    (stream, directory.into())
}
