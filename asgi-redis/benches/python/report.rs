//! Two sides, and how much faster ours is.

use std::fmt;

/// What one side did in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// In the unit of the comparison.
    pub(crate) figure: f64,
    /// Messages or requests that should have come, and did not.
    pub(crate) lost: usize,
}

/// Which of two figures is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// The rounds of both sides.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// How many times better ours should be; none for a figure that is there for itself.
    pub(crate) target: Option<f64>,
    pub(crate) ours: Vec<Sample>,
    pub(crate) theirs: Vec<Sample>,
}

impl Comparison {
    /// How many times better ours is: the median of the rounds.
    fn ratio(&self) -> f64 {
        let rounds = self.ours.iter().zip(&self.theirs);
        median(rounds.map(|(ours, theirs)| match self.better {
            Better::More => ours.figure / theirs.figure,
            Better::Less => theirs.figure / ours.figure,
        }))
    }

    pub(crate) fn is_met(&self) -> bool {
        self.target.is_none_or(|target| self.ratio() >= target)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = |samples: &[Sample]| median(samples.iter().map(|sample| sample.figure));
        let lost = |samples: &[Sample]| samples.iter().map(|sample| sample.lost).sum::<usize>();
        write!(
            f,
            "{}: ours {:.*} {unit}, Python's {:.*} {unit}, {:.1} times better",
            self.what,
            decimals(figure(&self.ours)),
            figure(&self.ours),
            decimals(figure(&self.theirs)),
            figure(&self.theirs),
            self.ratio(),
            unit = self.unit,
        )?;
        if let Some(target) = self.target {
            let met = if self.is_met() { "met" } else { "MISSED" };
            write!(f, " (at least {target}: {met})")?;
        }
        write!(f, "; lost {} and {}", lost(&self.ours), lost(&self.theirs))
    }
}

const fn decimals(figure: f64) -> usize {
    if figure < 100.0 { 1 } else { 0 }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
