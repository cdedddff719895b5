/// A running total and how much of it came in the last full second: for layers that count their
/// [statistics](crate::Statistics) themselves.
///
/// Seconds are numbered by the caller, from any beginning.
///
/// ```
/// use asgiref::Counter;
///
/// let mut counter = Counter::default();
/// counter.add(3, 10);
/// assert_eq!((counter.total(), counter.last_second(11)), (3, 3));
/// assert_eq!(counter.last_second(12), 0);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    total: u64,
    /// The second counted in, since the layer was made.
    second: u64,
    this_second: u64,
    previous_second: u64,
}

impl Counter {
    /// Counts `amount` in `second`. A caller that comes late, with a second already over, is
    /// counted in the current one.
    pub fn add(&mut self, amount: u64, second: u64) {
        if second > self.second {
            self.previous_second = self.last_second(second);
            self.this_second = 0;
            self.second = second;
        }
        self.total += amount;
        self.this_second += amount;
    }

    /// All that was counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// What was counted in the full second before `second`.
    #[must_use]
    pub const fn last_second(&self, second: u64) -> u64 {
        match second.saturating_sub(self.second) {
            0 => self.previous_second,
            1 => self.this_second,
            _ => 0,
        }
    }

    /// The second anything was counted in last.
    #[must_use]
    pub const fn second(&self) -> u64 {
        self.second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_full_second_is_reported_until_the_next_is_over() {
        let mut counter = Counter::default();
        counter.add(2, 10);
        counter.add(1, 10);
        assert_eq!((counter.total(), counter.last_second(10)), (3, 0));
        assert_eq!(counter.last_second(11), 3);
        assert_eq!(counter.last_second(12), 0);
        counter.add(5, 11);
        assert_eq!((counter.total(), counter.last_second(11)), (8, 3));
        assert_eq!(counter.last_second(12), 5);
        counter.add(1, 20);
        assert_eq!(counter.last_second(20), 0);
        assert_eq!(counter.last_second(21), 1);
    }

    #[test]
    fn a_late_caller_loses_nothing() {
        let mut counter = Counter::default();
        counter.add(4, 6);
        counter.add(1, 7);
        counter.add(1, 6);
        assert_eq!(counter.total(), 6);
        assert_eq!(counter.last_second(7), 4);
        assert_eq!(counter.last_second(8), 2);
        assert_eq!(counter.last_second(5), 4, "asked with a second long over");
    }
}
