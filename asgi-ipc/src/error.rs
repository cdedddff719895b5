//! The segment's own errors and what they become in [`asgiref::Error`].

use std::io;
use std::path::PathBuf;

use crate::segment::Damage;

/// What [`asgiref::Error::Backend`] calls this layer.
const LAYER: &str = "shared memory";

/// What can go wrong with a segment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the segment holds is broken and could not be repaired, or was broken while an
    /// operation was half done.
    #[error(
        "the segment was damaged ({what}) by something that is not this program; what could be \
         saved is there"
    )]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// The file is not a segment of this crate.
    #[error("`{path}` is not a segment of asgi-ipc: {reason}")]
    Foreign {
        /// The segment's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The memory for groups is used up.
    #[error("there is no room for a membership: `group_memory` is used up")]
    GroupMemoryFull,
    /// The system refused something.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The memory for messages has no room for another channel.
    #[error("there is no room for another channel: `message_memory` is used up")]
    MessageMemoryFull,
    /// The directory for segments has too little room.
    #[error(
        "there is no room for a segment of {needed} bytes at `{path}` ({available} bytes are \
         free): ask for less with `message_memory` and `group_memory`, or give the directory more \
         (`docker run --shm-size`)"
    )]
    NoSpace {
        /// The segment's file.
        path: PathBuf,
        /// Size of the segment in bytes.
        needed: u64,
        /// What the file system has left in bytes.
        available: u64,
    },
    /// The segment was made with other sizes.
    #[error(
        "`{path}` was made with {option} = {found}, not {wanted}: configure all programs alike, or \
         remove the segment with `asgi-ipc remove`"
    )]
    OtherSize {
        /// The segment's file.
        path: PathBuf,
        /// The option that differs.
        option: &'static str,
        /// The segment's value in bytes.
        found: u64,
        /// The configured value in bytes.
        wanted: u64,
    },
    /// The segment belongs to another user, and is not meant to be shared with others.
    #[error(
        "`{path}` belongs to the user with the number {owner}: set `file_mode` (such as 0660) in \
         all programs to share a segment between users"
    )]
    OtherUser {
        /// The segment's file.
        path: PathBuf,
        /// The number of the file's owner.
        owner: u32,
    },
    /// The segment's file was removed, by `asgi-ipc remove --force` or otherwise, while this process
    /// used it. Processes that start later use another segment.
    #[error("`{path}` was removed while it was in use: restart this process")]
    Removed {
        /// The segment's file.
        path: PathBuf,
    },
    /// A process has had the lock for too long.
    #[error(
        "process {pid} has been holding the segment's lock for more than five seconds: it is \
         stopped, or starved of time; end it or let it continue"
    )]
    Stuck {
        /// The process's number, as it knows itself.
        pid: u32,
    },
    /// As many processes as are possible have the segment open.
    #[error("{limit} channel layers have the segment open, which is the most there can be")]
    TooManyClients {
        /// The limit.
        limit: u32,
    },
    /// The segment is in use, so it was not removed.
    #[error("`{path}` is in use by {clients} channel layers")]
    InUse {
        /// The segment's file.
        path: PathBuf,
        /// How many have it open.
        clients: usize,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }
}

impl From<Damage> for Error {
    fn from(Damage(what): Damage) -> Self {
        Self::Damaged { what }
    }
}

impl From<Error> for asgiref::Error {
    fn from(error: Error) -> Self {
        Self::backend(LAYER, error)
    }
}
