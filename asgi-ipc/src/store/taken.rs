//! Messages that were taken out of their queue, and may not have been read yet.

use bytes::{Buf as _, Bytes};

use crate::segment::{Checked, Segment};

/// A message that was taken out of its queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Popped {
    /// The local part of the name it was sent to, and the message.
    bytes: Bytes,
    /// How long the former is.
    local: usize,
}

impl Popped {
    /// The local part of the name it was sent to.
    pub(crate) fn local(&self) -> &[u8] {
        &self.bytes[..self.local]
    }

    /// The message.
    pub(crate) fn into_body(mut self) -> Bytes {
        self.bytes.advance(self.local);
        self.bytes
    }
}

/// What came of taking a message without the lock.
#[derive(Debug)]
pub(crate) enum Quick {
    Message(Popped),
    /// There was none.
    Nothing,
    /// Who has the lock knows.
    Unsure,
}

/// A message that is at hand, if it was not read when it was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(super) local: Part,
    pub(super) body: Part,
    /// Where the next message of the queue is, if there is one.
    pub(super) next: Option<usize>,
}

/// Bytes that were read, or so many that are to be read at an offset.
#[derive(Debug)]
pub(super) enum Part {
    Read(Vec<u8>),
    At(usize, usize),
}

impl Taken {
    /// Reads what was not read while the lock was held.
    pub(crate) fn read(self, segment: &Segment) -> Checked<Popped> {
        if let Some(next) = self.next {
            segment.prefetch(next);
        }
        let local = self.local.len();
        let mut bytes = Vec::with_capacity(local + self.body.len());
        self.local.append_to(segment, &mut bytes)?;
        self.body.append_to(segment, &mut bytes)?;
        Ok(Popped {
            bytes: bytes.into(),
            local,
        })
    }
}

impl Part {
    const fn len(&self) -> usize {
        match self {
            Self::Read(bytes) => bytes.len(),
            Self::At(_, count) => *count,
        }
    }

    fn append_to(&self, segment: &Segment, bytes: &mut Vec<u8>) -> Checked<()> {
        match self {
            Self::Read(read) => {
                bytes.extend_from_slice(read);
                Ok(())
            }
            Self::At(at, count) => segment.read(*at, *count, bytes),
        }
    }
}
