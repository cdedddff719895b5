use std::fmt;

/// One line of the table: what was measured, against what was promised.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) measured: f64,
    pub(crate) target: Target,
    /// The figures behind it.
    pub(crate) detail: String,
}

/// What a figure has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Target {
    fn is_met(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(target) => measured >= target,
            Self::AtMost(target) => measured <= target,
            Self::Below(target) => measured < target,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, target) = match self {
            Self::AtLeast(target) => (">=", target),
            Self::AtMost(target) => ("<=", target),
            Self::Below(target) => ("< ", target),
        };
        f.pad(&format!("{sign} {target}"))
    }
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether every target is met.
    pub(crate) fn is_met(&self) -> bool {
        self.rows.iter().all(|row| row.target.is_met(row.measured))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.what.len())
            .max()
            .unwrap_or(0);
        writeln!(
            f,
            "{:width$}  {:>8}  {:8}  {:3}  figures",
            "", "measured", "target", "met"
        )?;
        for Row {
            what,
            measured,
            target,
            detail,
        } in &self.rows
        {
            let met = if target.is_met(*measured) {
                "yes"
            } else {
                "NO"
            };
            writeln!(
                f,
                "{what:width$}  {measured:>8.2}  {target:8}  {met:3}  {detail}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(measured: f64, target: Target) -> Row {
        Row {
            what: "speed",
            measured,
            target,
            detail: "80 of 100".to_owned(),
        }
    }

    #[test]
    fn one_missed_target_is_a_missed_report() {
        let mut report = Report::default();
        report.add(row(0.75, Target::AtLeast(0.75)));
        report.add(row(2.0, Target::AtMost(2.0)));
        assert!(report.is_met());
        report.add(row(8.0, Target::Below(8.0)));
        assert!(!report.is_met());
    }

    #[test]
    fn a_figure_that_is_no_number_misses_its_target() {
        let mut report = Report::default();
        report.add(row(f64::NAN, Target::AtMost(1.0)));
        assert!(!report.is_met());
    }

    #[test]
    fn the_table_says_what_was_missed() {
        let mut report = Report::default();
        report.add(row(0.7, Target::AtLeast(0.75)));
        let text = report.to_string();
        assert!(
            text.ends_with("speed      0.70  >= 0.75   NO   80 of 100\n"),
            "{text}"
        );
    }
}
