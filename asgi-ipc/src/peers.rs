//! The other clients of a segment: are they alive, and how they are woken.
//!
//! Each client has a named pipe beside the segment. It holds a lock on it as long as it lives,
//! which the kernel releases however it ends; and whoever has news for it writes a byte.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::io::Errno;

use crate::error::Error;
use crate::file::wake_path;
use crate::layout::MAX_CLIENTS;

/// The pipes of a segment's clients.
pub(crate) struct Peers {
    segment: PathBuf,
    id: u64,
    /// The user and the group the segment belongs to.
    owner: (u32, u32),
    /// The place this client has.
    mine: AtomicU32,
    /// Pipes of others, open for writing.
    open: Mutex<HashMap<u32, File>>,
}

impl Peers {
    pub(crate) fn new(segment: &Path, id: u64, owner: (u32, u32)) -> Self {
        Self {
            segment: segment.to_owned(),
            id,
            owner,
            mine: AtomicU32::new(0),
            open: Mutex::new(HashMap::new()),
        }
    }

    /// Takes the first place nobody alive has; its number, and its pipe, which is to be kept open.
    pub(crate) fn claim(&self, mode: u32) -> Result<(u32, File), Error> {
        for slot in 1..=MAX_CLIENTS {
            let path = wake_path(&self.segment, self.id, slot);
            match mkfifoat(CWD, &path, Mode::from_raw_mode(mode)) {
                Ok(()) => self
                    .give_away(&path, mode)
                    .map_err(|source| Error::io("make", &path, source))?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::io("make", path, errno.into())),
            }
            let mut pipe = match open_pipe(&path) {
                Ok(pipe) => pipe,
                // It was made by another user, who does not share it.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
                Err(source) => return Err(Error::io("open", path, source)),
            };
            match pipe.try_lock() {
                Ok(()) => {
                    drain(&mut pipe);
                    self.mine.store(slot, Ordering::Relaxed);
                    return Ok((slot, pipe));
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(Error::io("lock", path, source)),
            }
        }
        Err(Error::TooManyClients { limit: MAX_CLIENTS })
    }

    /// Lets those use a new pipe who may use the segment.
    fn give_away(&self, path: &Path, mode: u32) -> io::Result<()> {
        // The mask of the process may have taken away what others need.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        // The superuser looks into the segments of others.
        if rustix::process::geteuid().is_root() {
            let (user, group) = self.owner;
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// Whether somebody has the place. If that cannot be found out, nobody is taken for dead.
    pub(crate) fn is_alive(&self, slot: u32) -> bool {
        if !(1..=MAX_CLIENTS).contains(&slot) {
            return false;
        }
        let alive = self.with_pipe(slot, |pipe| match pipe.try_lock_shared() {
            Ok(()) => {
                // Closing it would do the same.
                let _ = pipe.unlock();
                Ok(false)
            }
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match alive {
            Ok(alive) => alive,
            Err(error) => error.kind() != io::ErrorKind::NotFound || self.are_removed(),
        }
    }

    /// Whether somebody has removed the pipes of those that are alive: this client's is gone.
    fn are_removed(&self) -> bool {
        let mine = self.mine.load(Ordering::Relaxed);
        !wake_path(&self.segment, self.id, mine).exists()
    }

    /// Wakes the client. A pipe that is full wakes as well.
    pub(crate) fn wake(&self, slot: u32) {
        let woken = self.with_pipe(slot, |mut pipe| pipe.write(&[1]));
        if let Err(error) = woken
            && error.kind() != io::ErrorKind::WouldBlock
        {
            tracing::debug!(slot, %error, "cannot wake another process");
        }
    }

    fn with_pipe<T>(&self, slot: u32, work: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let mut open = self.lock();
        if let Some(pipe) = open.get(&slot) {
            return work(pipe);
        }
        let pipe = open_pipe(&wake_path(&self.segment, self.id, slot))?;
        let result = work(&pipe);
        open.insert(slot, pipe);
        result
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, File>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads away what was meant for the one who had the place before.
fn drain(pipe: &mut File) {
    let mut bytes = [0; 256];
    while pipe.read(&mut bytes).is_ok_and(|count| count > 0) {}
}

/// Open for reading too, so that it never has no reader: writing to it would then end a process
/// that does not ignore the signal.
fn open_pipe(path: &Path) -> io::Result<File> {
    let pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32)
        .open(path)?;
    if pipe.metadata()?.file_type().is_fifo() {
        Ok(pipe)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a named pipe",
        ))
    }
}
