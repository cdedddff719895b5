//! Replays recorded cases against the server and compares what comes out.
//!
//! A case is a list of steps; each feeds bytes, sends a reply or lets something happen, and has an
//! outcome: messages on the channel layer and events at the client. Where this server differs on
//! purpose, a [`Deviation`] says how and why. One that no case needs any more fails the test.

pub mod outcome;
mod player;
mod recording;

use std::fmt;
use std::io::{self, Write as _};

use super::vectors::{self, Case};
use outcome::{Outcome, difference};
use player::Player;

/// A difference from the original server that is intended.
#[derive(Clone, Copy)]
pub struct Deviation {
    /// The cases concerned, none for all of them.
    pub cases: &'static [&'static str],
    /// Why this server is right.
    pub reason: &'static str,
    /// Turns what the original does into what this server does.
    pub apply: fn(&mut Outcome),
}

/// Replays all cases of `file`, of which there are `count`. Fails with the names of those whose
/// outcome is not the recorded one as changed by `deviations`.
pub async fn replay(file: &str, count: usize, deviations: &[Deviation]) {
    let cases = vectors::load(file, count);
    for deviation in deviations {
        for name in deviation.cases {
            assert!(
                cases.iter().any(|case| case.name == *name),
                "a deviation names the case {name:?}, which does not exist"
            );
        }
    }
    let mut failures = Vec::new();
    let mut needed = vec![false; deviations.len()];
    let mut deviating = 0;
    let runs: Vec<_> = cases
        .into_iter()
        .map(|case| {
            let deviations = deviations.to_vec();
            let name = case.name.clone();
            (name, tokio::spawn(run(case, deviations)))
        })
        .collect();
    let total = runs.len();
    for (name, run) in runs {
        match run.await {
            Ok(report) => {
                let is_own = |at: &usize| !deviations[*at].cases.is_empty();
                deviating += usize::from(report.needed.iter().any(is_own));
                for at in &report.needed {
                    needed[*at] = true;
                }
                for at in report.unneeded {
                    failures.push(format!(
                        "{name}: behaves as the original without the deviation \"{}\"",
                        deviations[at].reason
                    ));
                }
                if let Some(difference) = report.difference {
                    failures.push(format!("{name}: {difference}"));
                }
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    for (deviation, needed) in deviations.iter().zip(needed) {
        if !needed {
            failures.push(format!("no case needs the deviation: {}", deviation.reason));
        }
    }
    // Shown whether the test passes or not.
    writeln!(
        io::stdout(),
        "{file}: {total} cases replayed, {} as recorded, {deviating} with declared deviations",
        total - deviating
    )
    .expect("standard output can be written to");
    for deviation in deviations {
        println!("  {deviation:?}");
    }
    assert!(
        failures.is_empty(),
        "{} failures in {file}:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// How one case went.
struct Report {
    difference: Option<String>,
    /// Deviations without which the outcome would not be the expected one.
    needed: Vec<usize>,
    /// Deviations that name this case and change nothing that matters.
    unneeded: Vec<usize>,
}

async fn run(case: Case, deviations: Vec<Deviation>) -> Report {
    let applying: Vec<usize> = (0..deviations.len())
        .filter(|at| {
            let cases = deviations[*at].cases;
            cases.is_empty() || cases.contains(&case.name.as_str())
        })
        .collect();
    let mut player = Player::start(&case).await;
    let expected = |without: Option<usize>| {
        let mut outcome = player.recorded(&case);
        for at in &applying {
            if Some(*at) != without {
                (deviations[*at].apply)(&mut outcome);
            }
        }
        outcome
    };
    let wanted = expected(None);
    let others: Vec<(usize, Outcome)> = applying
        .iter()
        .map(|at| (*at, expected(Some(*at))))
        .collect();
    let seen = player.play(&case, &wanted).await;
    let report = difference(&wanted, &seen);
    let (mut needed, mut unneeded) = (Vec::new(), Vec::new());
    for (at, other) in others {
        if difference(&other, &seen).is_some() {
            needed.push(at);
        } else if !deviations[at].cases.is_empty() {
            unneeded.push(at);
        }
    }
    Report {
        difference: report,
        needed,
        unneeded,
    }
}

impl fmt::Debug for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cases {
            [] => f.write_str("everywhere")?,
            cases => write!(f, "{}", cases.join(", "))?,
        }
        write!(f, ": {}", self.reason)
    }
}
