//! Messages that were taken out of their queue, and may not have been read yet.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::clock::Time;
use crate::segment::{Checked, Segment};

/// A message that was taken out of its queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Popped {
    /// The local part of the name it was sent to.
    pub(crate) local: Bytes,
    pub(crate) body: Bytes,
    pub(crate) sent: Time,
    pub(crate) expires: Time,
}

/// A message that is at hand, if it was not read when it was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(super) local: Part,
    pub(super) body: Part,
    pub(super) sent: Time,
    pub(super) expires: Time,
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
        Ok(Popped {
            local: self.local.read(segment)?.into(),
            body: self.body.read(segment)?.into(),
            sent: self.sent,
            expires: self.expires,
        })
    }

    /// Reads several. Short ones share a buffer, as taking memory for each costs more than copying
    /// them: one that is kept keeps some kilobytes at most.
    pub(crate) fn read_several(several: Vec<Self>, segment: &Segment) -> Checked<VecDeque<Popped>> {
        let mut shared = Vec::with_capacity(several.iter().map(Self::to_be_read).sum());
        for part in several.iter().flat_map(|taken| [&taken.local, &taken.body]) {
            if let Part::At(at, count) = *part {
                segment.read(at, count, &mut shared)?;
            }
        }
        let mut shared = Bytes::from(shared);
        let mut next = |part| match part {
            Part::Read(bytes) => Bytes::from(bytes),
            Part::At(_, 0) => Bytes::new(),
            Part::At(_, count) => shared.split_to(count),
        };
        Ok(several
            .into_iter()
            .map(|taken| Popped {
                local: next(taken.local),
                body: next(taken.body),
                sent: taken.sent,
                expires: taken.expires,
            })
            .collect())
    }

    pub(super) const fn body_length(&self) -> usize {
        match &self.body {
            Part::Read(body) => body.len(),
            Part::At(_, count) => *count,
        }
    }

    fn to_be_read(&self) -> usize {
        let count = |part: &Part| match part {
            Part::Read(_) => 0,
            Part::At(_, count) => *count,
        };
        count(&self.local) + count(&self.body)
    }
}

impl Part {
    fn read(self, segment: &Segment) -> Checked<Vec<u8>> {
        match self {
            Self::Read(bytes) => Ok(bytes),
            Self::At(at, count) => {
                let mut bytes = Vec::new();
                segment.read(at, count, &mut bytes).map(|()| bytes)
            }
        }
    }
}
