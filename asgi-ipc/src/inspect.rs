//! Looking at segments, and removing them: what the `asgi-ipc` command does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::check_prefix;
use crate::error::Error;
use crate::file;
use crate::store::Store;

/// What a segment holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The segment's file.
    pub path: PathBuf,
    /// Size of the segment in bytes.
    pub size: u64,
    /// The option it was made with, in bytes.
    pub message_memory: u64,
    /// The option it was made with, in bytes.
    pub group_memory: u64,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// How often it was repaired because a process ended while it changed something.
    pub repairs: u32,
    /// The channel layers that have it open.
    pub clients: Vec<Client>,
    /// How much of the memory is in use.
    pub memory: Vec<Usage>,
    /// The channels, in alphabetical order.
    pub channels: Vec<Channel>,
}

/// A channel layer that has a segment open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// Its process's number, as the process knows itself: in another container it means nothing.
    pub pid: u32,
    /// When it opened the segment, in milliseconds since 1970.
    pub since: u64,
}

/// How much of one kind of memory is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What is counted.
    pub what: &'static str,
    /// How many are in use.
    pub used: u32,
    /// How many there are.
    pub count: u32,
}

/// What a channel holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Channel {
    /// The name, up to the `!` if process-specific.
    pub name: String,
    /// Messages that wait.
    pub pending: u64,
    /// How long the oldest has been waiting.
    pub max_age: Duration,
    /// Messages accepted.
    pub sent: u64,
    /// Messages refused.
    pub full: u64,
    /// Memberships in groups.
    pub memberships: u32,
    /// Whether a receive waits for its messages.
    pub waited_for: bool,
}

/// The directory segments are in unless configured: `/dev/shm`, outside Linux the directory for
/// temporary files.
#[must_use]
pub fn default_directory() -> PathBuf {
    file::default_directory()
}

/// The prefixes of the segments in `directory`.
///
/// # Errors
///
/// [`Error::Io`] if the directory cannot be read.
pub fn list(directory: impl AsRef<Path>) -> Result<Vec<String>, Error> {
    file::list(directory.as_ref())
}

/// Looks at the segment called `prefix`, as one of its clients for a moment. What is expired is
/// removed by this.
///
/// # Errors
///
/// [`Error::Foreign`] if it is no segment or is damaged beyond use, [`Error::Io`] if it cannot be
/// opened.
pub fn inspect(directory: impl AsRef<Path>, prefix: &str) -> Result<Inspection, Error> {
    let path = path(directory.as_ref(), prefix)?;
    let opened = file::open_existing(&path)?;
    let store = Store::open(&path, &opened, opened.mode(&path)?, Duration::MAX)?;
    let (mut inspection, _) = store.run(|locked| {
        Ok(Inspection {
            path: path.clone(),
            size: opened.layout.total as u64,
            message_memory: opened.layout.message_memory,
            group_memory: opened.layout.group_memory,
            created: opened.created,
            repairs: locked.repairs()?,
            clients: locked.other_clients()?,
            // Counted after the channels have dropped what is expired.
            memory: Vec::new(),
            channels: locked.channels()?,
        })
    })?;
    (inspection.memory, _) = store.run(|locked| locked.usage())?;
    Ok(inspection)
}

/// Removes the segment called `prefix` and all that is in it. Programs that have it open go on
/// using it among themselves, and do not meet those that make it anew.
///
/// # Errors
///
/// Unless `force` is set, [`Error::InUse`] if programs have it open and [`Error::Foreign`] if that
/// cannot be told. [`Error::Io`] if it is not there or cannot be removed.
pub fn remove(directory: impl AsRef<Path>, prefix: &str, force: bool) -> Result<(), Error> {
    let directory = directory.as_ref();
    let path = path(directory, prefix)?;
    if !force {
        let clients = inspect(directory, prefix)?.clients.len();
        if clients > 0 {
            return Err(Error::InUse { path, clients });
        }
    }
    file::remove(&path)
}

/// A prefix must not lead out of the directory.
fn path(directory: &Path, prefix: &str) -> Result<PathBuf, Error> {
    check_prefix(prefix).map_err(|reason| Error::Foreign {
        path: directory.join(prefix),
        reason: format!("a prefix {reason}"),
    })?;
    Ok(file::path(directory, prefix))
}
