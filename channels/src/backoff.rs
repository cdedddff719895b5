use std::time::Duration;

use rand::Rng as _;

/// Pauses between attempts: each twice the last up to a limit, with up to half of it taken away
/// at random so that processes that failed together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    counting: bool,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
            counting: false,
        }
    }

    /// The pause before the next attempt.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let full = self.next;
        self.counting = true;
        self.next = (full * 2).min(self.longest);
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Whether there was a pause since the beginning.
    pub(crate) const fn is_counting(&self) -> bool {
        self.counting
    }

    /// Starts again with the first pause.
    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
        self.counting = false;
    }
}
