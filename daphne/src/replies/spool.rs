use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use asgiref::Message;
use asgiref::codec::Codec;

/// Bytes before each message in a file: its length.
const HEADER: usize = 4;

/// How much may wait on disk, and where.
#[derive(Debug)]
pub(crate) struct SpoolSpace {
    /// Where files are made; `None` for the system's folder for temporary files.
    directory: Option<PathBuf>,
    /// Bytes for one connection.
    per_connection: u64,
    /// Bytes for all connections together.
    total: u64,
    used: AtomicU64,
}

impl SpoolSpace {
    pub(crate) fn new(directory: Option<PathBuf>, per_connection: u64, total: u64) -> Self {
        Self {
            directory,
            per_connection,
            total,
            used: AtomicU64::new(0),
        }
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = self
            .used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|used| *used <= self.total)
            });
        taken.is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn file(&self) -> io::Result<File> {
        match &self.directory {
            Some(directory) => tempfile::tempfile_in(directory),
            None => tempfile::tempfile(),
        }
    }
}

/// What became of a message for a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spooled {
    Accepted,
    /// There is no more space for it.
    Full,
}

/// The part of a connection's messages that waits on disk: a file without a name, written at its
/// end and read from its beginning.
///
/// Writing and reading go to the operating system's memory first, so they are made without
/// leaving the task.
#[derive(Debug)]
pub(super) struct Spool {
    space: Arc<SpoolSpace>,
    file: File,
    begin: u64,
    end: u64,
}

impl Spool {
    pub(super) fn new(space: Arc<SpoolSpace>) -> io::Result<Self> {
        let file = space.file()?;
        Ok(Self {
            space,
            file,
            begin: 0,
            end: 0,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begin == self.end
    }

    /// Puts a message at the end.
    pub(super) fn push(&mut self, message: &Message) -> io::Result<Spooled> {
        let encoded = Codec::new().encode(message).map_err(io::Error::other)?;
        let length = u32::try_from(encoded.len()).map_err(io::Error::other)?;
        let size = (HEADER + encoded.len()) as u64;
        if self.end + size > self.space.per_connection || !self.space.take(size) {
            return Ok(Spooled::Full);
        }
        let written = self
            .file
            .write_all_at(&length.to_le_bytes(), self.end)
            .and_then(|()| self.file.write_all_at(&encoded, self.end + HEADER as u64));
        if let Err(error) = written {
            self.space.give_back(size);
            return Err(error);
        }
        self.end += size;
        Ok(Spooled::Accepted)
    }

    /// Takes the first message.
    pub(super) fn pop(&mut self) -> io::Result<Message> {
        let mut length = [0; HEADER];
        self.file.read_exact_at(&mut length, self.begin)?;
        let mut encoded = vec![0; u32::from_le_bytes(length) as usize];
        self.file
            .read_exact_at(&mut encoded, self.begin + HEADER as u64)?;
        self.begin += (HEADER + encoded.len()) as u64;
        if self.is_empty() {
            self.space.give_back(self.end);
            (self.begin, self.end) = (0, 0);
            self.file.set_len(0)?;
        }
        Codec::new()
            .decode(encoded.into())
            .map_err(io::Error::other)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.space.give_back(self.end);
    }
}

#[cfg(test)]
mod tests {
    use asgiref::message;

    use super::*;

    fn spool(per_connection: u64, total: u64) -> (Arc<SpoolSpace>, Spool) {
        let space = Arc::new(SpoolSpace::new(None, per_connection, total));
        let spool = Spool::new(Arc::clone(&space)).unwrap();
        (space, spool)
    }

    #[test]
    fn messages_come_back_in_order() {
        let (space, mut spool) = spool(1 << 20, 1 << 20);
        for round in 0..3 {
            for number in 0..10 {
                let message = message! { "n" => number, "content" => vec![round; 1000] };
                assert_eq!(spool.push(&message).unwrap(), Spooled::Accepted);
            }
            for number in 0..10 {
                assert_eq!(spool.pop().unwrap().int("n").unwrap(), number);
            }
            assert!(spool.is_empty());
            assert_eq!(space.used.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn no_more_is_written_than_there_is_space_for() {
        let message = message! { "content" => vec![0; 100] };
        let (_, mut small) = spool(150, 1000);
        assert_eq!(small.push(&message).unwrap(), Spooled::Accepted);
        assert_eq!(small.push(&message).unwrap(), Spooled::Full);

        let (space, mut one) = spool(1000, 150);
        let mut other = Spool::new(Arc::clone(&space)).unwrap();
        assert_eq!(one.push(&message).unwrap(), Spooled::Accepted);
        assert_eq!(other.push(&message).unwrap(), Spooled::Full);
        drop(one);
        assert_eq!(other.push(&message).unwrap(), Spooled::Accepted);
    }
}
