use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::framing::lengths;

/// No deadline.
const NEVER: u64 = u64::MAX;

/// What a connection's timer needs to know, kept so that a request costs no timer of its own.
///
/// Socket, service and timer of a connection all run in its one task, so the fields order nothing
/// among each other.
#[derive(Debug)]
pub(crate) struct Watch {
    /// When what is under way must have got on, in ticks.
    deadline: AtomicU64,
    /// Whether the connection waits for a request.
    idle: AtomicBool,
    /// Whether bytes came since it began to wait.
    read: AtomicBool,
    /// Whether the client does not take what is written.
    write_blocked: AtomicBool,
    /// Whether it took something since the timer last asked.
    progressed: AtomicBool,
    /// Whether the deadline has passed.
    expired: AtomicBool,
    /// Whether the head of the request had a `Content-Length`, as far as was seen.
    content_length: AtomicBool,
    /// Whether it had a `Transfer-Encoding`.
    transfer_encoding: AtomicBool,
    /// Whether to wait, before the socket is closed, for a client that is still sending.
    lingering: AtomicBool,
}

impl Watch {
    /// Of a new connection, which must have sent a request by `deadline`.
    pub(super) fn new(deadline: u64) -> Self {
        Self {
            deadline: AtomicU64::new(deadline),
            idle: AtomicBool::new(true),
            read: AtomicBool::new(false),
            write_blocked: AtomicBool::new(false),
            progressed: AtomicBool::new(false),
            expired: AtomicBool::new(false),
            content_length: AtomicBool::new(false),
            transfer_encoding: AtomicBool::new(false),
            lingering: AtomicBool::new(false),
        }
    }

    // ---- What the socket tells

    /// `data` was read, which this may change.
    pub(crate) fn was_read(&self, data: &mut [u8]) {
        if self.is_idle() {
            let first = !self.read.swap(true, Ordering::Relaxed);
            let found = lengths(data);
            note(&self.content_length, first, found.content_length);
            note(&self.transfer_encoding, first, found.transfer_encoding);
        }
    }

    pub(crate) fn wrote(&self, something: bool) {
        self.write_blocked.store(!something, Ordering::Relaxed);
        if something {
            self.progressed.store(true, Ordering::Relaxed);
        }
    }

    // ---- What the service tells

    /// A request begins.
    pub(crate) fn busy(&self) {
        self.idle.store(false, Ordering::Relaxed);
    }

    /// What is under way must get on by `deadline`.
    pub(crate) fn expect_by(&self, deadline: Option<u64>) {
        self.deadline
            .store(deadline.unwrap_or(NEVER), Ordering::Relaxed);
        self.expired.store(false, Ordering::Relaxed);
    }

    /// The connection waits for the next request, which must begin by `deadline`.
    pub(crate) fn idle(&self, deadline: u64) {
        self.read.store(false, Ordering::Relaxed);
        self.idle.store(true, Ordering::Relaxed);
        self.expect_by(Some(deadline));
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    /// Whether the head of the request gave the length of its body in two ways.
    pub(crate) fn saw_two_lengths(&self) -> bool {
        self.content_length.load(Ordering::Relaxed)
            && self.transfer_encoding.load(Ordering::Relaxed)
    }

    /// The connection will be closed although the client may still be sending.
    pub(crate) fn linger(&self) {
        self.lingering.store(true, Ordering::Relaxed);
    }

    // ---- What the timer asks

    pub(super) fn deadline(&self) -> Option<u64> {
        Some(self.deadline.load(Ordering::Relaxed)).filter(|deadline| *deadline != NEVER)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed)
    }

    /// Whether a request has begun to come but is not complete.
    pub(super) fn is_mid_head(&self) -> bool {
        self.is_idle() && self.read.load(Ordering::Relaxed)
    }

    pub(super) fn is_write_blocked(&self) -> bool {
        self.write_blocked.load(Ordering::Relaxed)
    }

    /// Whether something was written since this was last asked.
    pub(crate) fn take_progress(&self) -> bool {
        let progressed = self.progressed.load(Ordering::Relaxed);
        if progressed {
            self.progressed.store(false, Ordering::Relaxed);
        }
        progressed
    }

    pub(super) fn is_lingering(&self) -> bool {
        self.lingering.load(Ordering::Relaxed)
    }

    /// Tells the service that the deadline has passed; false if it was told before.
    pub(super) fn expire(&self) -> bool {
        !self.expired.swap(true, Ordering::Relaxed)
    }
}

/// Sets `flag` to what was found in the first part of a head, or adds what was found in a later
/// one.
fn note(flag: &AtomicBool, first: bool, found: bool) {
    if first || found {
        flag.store(found, Ordering::Relaxed);
    }
}
