use std::time::Duration;

use rand::Rng as _;

/// Pauses between attempts: each twice the last up to a limit, with up to half of it taken away
/// at random so that those who failed together do not come back together.
///
/// ```
/// use std::time::Duration;
/// use asgiref::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// assert!(backoff.next_pause() <= Duration::from_millis(100));
/// assert!(backoff.next_pause() <= Duration::from_millis(200));
/// backoff.reset();
/// assert!(backoff.next_pause() <= Duration::from_millis(100));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    counting: bool,
}

impl Backoff {
    /// Pauses that begin with `first` and become no longer than `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
            counting: false,
        }
    }

    /// The pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        let full = self.next.min(self.longest);
        self.counting = true;
        self.next = full.saturating_mul(2);
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Whether there was a pause since the beginning.
    #[must_use]
    pub const fn is_counting(&self) -> bool {
        self.counting
    }

    /// Starts again with the first pause.
    pub const fn reset(&mut self) {
        self.next = self.first;
        self.counting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_lose_at_most_half() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        assert!(!backoff.is_counting());
        for seconds in [1, 2, 4, 5, 5] {
            let full = Duration::from_secs(seconds);
            let pause = backoff.next_pause();
            assert!(full / 2 <= pause && pause <= full, "{pause:?} of {full:?}");
        }
        assert!(backoff.is_counting());
    }
}
