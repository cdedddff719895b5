//! Segments for tests and benchmarks: in a directory of their own, removed at the end.

use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

/// What the names of the directories begin with; the number of the process that made it follows.
const PREFIX: &str = "asgi-ipc-test-";

/// A directory in memory for the segments of one test.
pub(crate) struct Segments {
    directory: TempDir,
}

impl Segments {
    pub(crate) fn new() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(remove_those_of_the_dead);
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir_in(memory())
            .expect("a directory for segments can be made");
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes what tests have left that were killed: it takes memory until the machine restarts.
fn remove_those_of_the_dead() {
    for entry in std::fs::read_dir(memory()).expect("the directory can be read") {
        let entry = entry.expect("the directory can be read");
        let name = entry.file_name();
        let maker = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'))
            .and_then(|(pid, _)| Pid::from_raw(pid.parse().ok()?));
        if maker.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            // Another test may do the same.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn memory() -> PathBuf {
    if cfg!(target_os = "linux") {
        "/dev/shm".into()
    } else {
        std::env::temp_dir()
    }
}
