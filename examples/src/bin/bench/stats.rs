use std::time::Duration;

/// What one run of the load saw.
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Sample {
    /// From the time each answer took, in nanoseconds, and the time of the whole run.
    pub(crate) fn new(mut latencies: Vec<u32>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
            Duration::from_nanos(latencies.get(at).copied().unwrap_or_default().into())
        };
        Self {
            per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
            p50: percentile(50),
            p99: percentile(99),
        }
    }
}

/// The runs of two sides, taken in turns.
#[derive(Default)]
pub(crate) struct Comparison {
    pub(crate) ours: Vec<Sample>,
    pub(crate) bare: Vec<Sample>,
}

impl Comparison {
    /// The median over the rounds of our figure, of the bare library's, and of their ratio within
    /// a round: what slows the machine down for a while hits both sides of a round alike.
    pub(crate) fn medians(&self, figure: impl Fn(&Sample) -> f64) -> Medians {
        let pairs = self.ours.iter().zip(&self.bare);
        Medians {
            ours: median(self.ours.iter().map(&figure)),
            bare: median(self.bare.iter().map(&figure)),
            ratio: median(pairs.map(|(ours, bare)| figure(ours) / figure(bare))),
        }
    }
}

/// See [`Comparison::medians`].
pub(crate) struct Medians {
    pub(crate) ours: f64,
    pub(crate) bare: f64,
    pub(crate) ratio: f64,
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_taken_of_each_side_and_of_the_ratios_within_a_round() {
        let sample = |per_second| Sample {
            per_second,
            p50: Duration::ZERO,
            p99: Duration::ZERO,
        };
        let comparison = Comparison {
            ours: [80.0, 10.0, 90.0].map(sample).into(),
            bare: [100.0, 20.0, 90.0].map(sample).into(),
        };
        let medians = comparison.medians(|sample| sample.per_second);
        assert_eq!(
            (medians.ours, medians.bare, medians.ratio),
            (80.0, 90.0, 0.8)
        );
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_latencies() {
        let sample = Sample::new((1..=200).rev().collect(), Duration::from_secs(2));
        assert_eq!(sample.per_second, 100.0);
        assert_eq!(sample.p50, Duration::from_nanos(101));
        assert_eq!(sample.p99, Duration::from_nanos(199));
    }

    #[test]
    fn a_run_without_answers_has_zeros() {
        let sample = Sample::new(Vec::new(), Duration::from_secs(1));
        assert_eq!(sample.per_second, 0.0);
        assert_eq!(sample.p99, Duration::ZERO);
    }
}
