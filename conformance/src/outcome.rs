use std::fmt;
use std::time::Duration;

use asgiref::Extension;

/// Why a case does not apply to a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped(String);

impl Skipped {
    pub(crate) fn extension(extension: Extension) -> Self {
        Self(format!("the harness lists no {extension} extension"))
    }

    pub(crate) fn capacity() -> Self {
        Self("the harness gives no capacity".to_owned())
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The layer keeps the rule.
    Passed,
    /// The rule does not apply to the layer.
    Skipped(Skipped),
    /// The layer breaks the rule; says which rule and what happened.
    Failed(String),
}

/// What a case may return: nothing, or that it does not apply.
pub(crate) trait Verdict {
    fn outcome(self) -> Outcome;
}

impl Verdict for () {
    fn outcome(self) -> Outcome {
        Outcome::Passed
    }
}

impl Verdict for Result<(), Skipped> {
    fn outcome(self) -> Outcome {
        self.map_or_else(Outcome::Skipped, |()| Outcome::Passed)
    }
}

/// One case of a [`Report`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// The case's name, as in the list of [`cases`](crate::cases).
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took by the wall clock.
    pub elapsed: Duration,
}

impl CaseReport {
    /// Whether the layer keeps the rule.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    /// Whether the layer breaks the rule.
    #[must_use]
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, outcome, .. } = self;
        match outcome {
            Outcome::Passed => write!(f, "{name} ... ok"),
            Outcome::Skipped(reason) => write!(f, "{name} ... skipped: {reason}"),
            Outcome::Failed(message) => write!(f, "{name} ... FAILED\n    {message}"),
        }
    }
}

/// What [`run`](crate::run) found out; prints as one line for each case and a sum.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Every case, in the order of the list.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// Whether no case failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| case.failed())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            writeln!(f, "{case}")?;
        }
        let passed = self.cases.iter().filter(|case| case.passed()).count();
        let failed = self.failed().count();
        let skipped = self.cases.len() - passed - failed;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &'static str, outcome: Outcome) -> CaseReport {
        CaseReport {
            name,
            outcome,
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn a_report_has_a_line_for_each_case_and_a_sum() {
        let report = Report {
            cases: vec![
                case("one", Outcome::Passed),
                case("two", Outcome::Failed("rule: what happened".to_owned())),
                case(
                    "three",
                    Outcome::Skipped(Skipped::extension(Extension::Flush)),
                ),
                case("four", Outcome::Skipped(Skipped::capacity())),
            ],
        };
        assert_eq!(
            report.to_string(),
            "one ... ok\n\
             two ... FAILED\n    rule: what happened\n\
             three ... skipped: the harness lists no flush extension\n\
             four ... skipped: the harness gives no capacity\n\
             1 passed, 1 failed, 2 skipped"
        );
        assert!(!report.is_success());
        assert_eq!(
            report.failed().map(|case| case.name).collect::<Vec<_>>(),
            ["two"]
        );
    }
}
