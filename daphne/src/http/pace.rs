use std::time::Duration;

use tokio::time::Instant;

/// Whether a client sends the body of its request fast enough.
///
/// What counts is a number of bytes in an interval: with a limit for pauses alone a client could
/// hold a connection for ever, by a byte now and then.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// Bytes per second.
    rate: u32,
    /// Bytes that must still come before the deadline.
    missing: u64,
    deadline: Instant,
}

impl Pace {
    /// Counts from `now`: in each `interval` as much must come as at `rate` bytes per second, or
    /// something at all.
    pub(super) fn new(interval: Duration, rate: u32, now: Instant) -> Self {
        let mut pace = Self {
            interval,
            rate,
            missing: 0,
            deadline: now,
        };
        pace.restart(now);
        pace
    }

    /// `bytes` more came.
    pub(super) fn came(&mut self, bytes: usize, now: Instant) {
        self.missing = self.missing.saturating_sub(bytes as u64);
        if self.missing == 0 {
            self.restart(now);
        }
    }

    /// Begins a new interval: until `now`, nothing more was asked of the client.
    pub(super) fn restart(&mut self, now: Instant) {
        let quota = f64::from(self.rate) * self.interval.as_secs_f64();
        self.missing = (quota as u64).max(1);
        self.deadline = now + self.interval;
    }

    /// Begins a new interval, of `interval` unless it was shorter before.
    pub(super) fn hurry(&mut self, interval: Duration, now: Instant) {
        self.interval = self.interval.min(interval);
        self.restart(now);
    }

    /// When the client is too slow, unless more comes before.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_byte_now_and_then_is_not_enough() {
        let start = Instant::now();
        let mut pace = Pace::new(60 * SECOND, 100, start);
        for second in 1..60 {
            pace.came(1, start + second * SECOND);
        }
        assert_eq!(pace.deadline(), start + 60 * SECOND);
    }

    #[test]
    fn a_client_at_the_rate_may_go_on_for_ever() {
        let start = Instant::now();
        let mut pace = Pace::new(60 * SECOND, 100, start);
        for second in 1..1_000 {
            let now = start + second * SECOND;
            assert!(now <= pace.deadline(), "given up after {second} seconds");
            pace.came(100, now);
        }
    }

    #[test]
    fn without_a_rate_every_byte_counts() {
        let start = Instant::now();
        let mut pace = Pace::new(60 * SECOND, 0, start);
        pace.came(1, start + 59 * SECOND);
        assert_eq!(pace.deadline(), start + 119 * SECOND);
    }

    #[test]
    fn haste_makes_the_interval_shorter_never_longer() {
        let start = Instant::now();
        let mut pace = Pace::new(60 * SECOND, 100, start);
        pace.hurry(5 * SECOND, start + SECOND);
        assert_eq!(pace.deadline(), start + 6 * SECOND);
        pace.came(500, start + 2 * SECOND);
        assert_eq!(pace.deadline(), start + 7 * SECOND);
        pace.hurry(60 * SECOND, start + 3 * SECOND);
        assert_eq!(pace.deadline(), start + 8 * SECOND);
    }
}
