//! Segments for tests: in a directory of their own, removed at the end.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory in memory for the segments of one test.
pub(crate) struct Segments {
    directory: TempDir,
}

impl Segments {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("asgi-ipc-test-")
            .tempdir_in(memory())
            .expect("a directory for segments can be made");
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn memory() -> PathBuf {
    if cfg!(target_os = "linux") {
        "/dev/shm".into()
    } else {
        std::env::temp_dir()
    }
}
