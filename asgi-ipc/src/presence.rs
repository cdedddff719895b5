//! Whether the segment is still the one that others find.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Time;
use crate::error::Error;

/// How often it is looked at, at most.
const INTERVAL: Duration = Duration::from_secs(2);

/// The file of a segment. If it is removed while processes use it, these still reach each other, but
/// nobody who starts later.
#[derive(Debug)]
pub(crate) struct Presence {
    path: PathBuf,
    /// What tells files of one name apart: device and number.
    identity: (u64, u64),
    /// When to look again.
    next: AtomicU64,
    gone: AtomicBool,
}

impl Presence {
    pub(crate) fn new(path: PathBuf, file: &fs::Metadata) -> Self {
        Self {
            path,
            identity: (file.dev(), file.ino()),
            next: AtomicU64::new(Time::now().after(INTERVAL).0),
            gone: AtomicBool::new(false),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks now and then.
    ///
    /// # Errors
    ///
    /// [`Error::Removed`] if the file is gone, or another one has its name.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let now = Time::now();
        if now.0 >= self.next.load(Ordering::Relaxed) {
            self.next.store(now.after(INTERVAL).0, Ordering::Relaxed);
            self.look();
        }
        if self.gone.load(Ordering::Relaxed) {
            return Err(Error::Removed {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    fn look(&self) {
        let found = fs::symlink_metadata(&self.path);
        // What else can go wrong says nothing of the file.
        let gone = match found {
            Ok(file) => (file.dev(), file.ino()) != self.identity,
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if gone && !self.gone.swap(true, Ordering::Relaxed) {
            tracing::error!(
                path = %self.path.display(),
                "the segment was removed while it was in use: restart this process",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_removed_or_replaced_is_missed() {
        let directory = tempfile::TempDir::new().unwrap();
        for replace in [false, true] {
            let path = directory.path().join("segment");
            fs::write(&path, "").unwrap();
            let presence = Presence::new(path.clone(), &fs::metadata(&path).unwrap());
            presence.look();
            assert!(presence.check().is_ok());
            let other = directory.path().join("other");
            if replace {
                fs::write(&other, "").unwrap();
                fs::rename(&other, &path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            presence.look();
            let error = presence.check().unwrap_err().to_string();
            assert!(error.contains("restart"), "{error}");
        }
    }
}
