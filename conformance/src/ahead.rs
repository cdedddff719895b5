use std::collections::BTreeMap;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use crate::harness::Harness;
use crate::outcome::{CaseReport, Outcome};
use crate::runner::{case_names, panic_message, run_case};

/// The cases that wait longest, in real time: if they come last, all wait for them.
const LONGEST: [&str; 5] = [
    "group_expiry",
    "group_expiry_is_per_membership",
    "readd_extends_group_expiry",
    "membership_survives_delivery",
    "membership_survives_idling",
];

/// Runs the cases of one suite before their tests come up: the test harness has as many threads
/// as there are processors, and a thread whose test waits does nothing else.
#[derive(Debug)]
pub struct Ahead {
    cases: Mutex<BTreeMap<&'static str, Progress>>,
    changed: Condvar,
    helpers: Once,
}

#[derive(Debug)]
enum Progress {
    Running,
    Ended(CaseReport),
}

impl Ahead {
    /// Nothing runs yet.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "it is for statics, and the macro's alone"
    )]
    pub const fn new() -> Self {
        Self {
            cases: Mutex::new(BTreeMap::new()),
            changed: Condvar::new(),
            helpers: Once::new(),
        }
    }

    /// The report of a case that is in the list. `ignored` are those no test asks for.
    pub(crate) fn report<H: Harness>(
        &'static self,
        harness: fn() -> H,
        name: &'static str,
        ignored: &'static [&'static str],
    ) -> CaseReport {
        if !H::VIRTUAL_TIME && is_whole_suite(std::env::args_os().skip(1)) {
            self.helpers.call_once(|| self.start(harness, ignored));
        }
        self.take(harness, name)
    }

    /// Runs the case, or waits for whoever does.
    fn take<H: Harness>(&self, harness: fn() -> H, name: &'static str) -> CaseReport {
        if self.claim(name) {
            return run(harness, name);
        }
        let mut cases = self.lock();
        loop {
            match cases.remove(name) {
                Some(Progress::Ended(report)) => return report,
                Some(running) => {
                    cases.insert(name, running);
                    cases = self
                        .changed
                        .wait(cases)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                // Somebody asks twice.
                None => {
                    drop(cases);
                    return run(harness, name);
                }
            }
        }
    }

    fn start<H: Harness>(&'static self, harness: fn() -> H, ignored: &'static [&'static str]) {
        for number in 0..H::AHEAD {
            let help = move || {
                while let Some(name) = self.claim_any(ignored) {
                    let report = run(harness, name);
                    self.lock().insert(name, Progress::Ended(report));
                    self.changed.notify_all();
                }
            };
            let name = format!("conformance helper {number}");
            if thread::Builder::new().name(name).spawn(help).is_err() {
                // The tests do without.
                return;
            }
        }
    }

    /// Whether the case is the caller's to run.
    fn claim(&self, name: &'static str) -> bool {
        let mut cases = self.lock();
        let is_free = !cases.contains_key(name);
        if is_free {
            cases.insert(name, Progress::Running);
        }
        is_free
    }

    fn claim_any(&self, ignored: &[&str]) -> Option<&'static str> {
        let mut names = LONGEST.iter().chain(case_names()).copied();
        names.find(|name| !ignored.contains(name) && self.claim(name))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Progress>> {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the case; a harness that panics is a failure of it.
fn run<H: Harness>(harness: fn() -> H, name: &'static str) -> CaseReport {
    let report = catch_unwind(AssertUnwindSafe(|| run_case(harness(), name)));
    let message = match report {
        Ok(Some(report)) => return report,
        Ok(None) => format!("there is no conformance case `{name}`"),
        Err(panic) => panic_message(&*panic),
    };
    CaseReport {
        name,
        outcome: Outcome::Failed(message),
        elapsed: Duration::ZERO,
    }
}

/// Whether the arguments of the test harness choose no tests, so that those of all cases will come
/// up, and do not ask for one test at a time.
fn is_whole_suite(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut is_value = false;
    for argument in arguments {
        let Some(argument) = argument.to_str() else {
            return false;
        };
        let is_previous_value = std::mem::replace(&mut is_value, argument == "--test-threads");
        let is_harmless = match argument {
            "1" => false,
            _ if is_previous_value => argument.bytes().all(|byte| byte.is_ascii_digit()),
            "--nocapture" | "--no-capture" | "--show-output" | "--test-threads" | "-q"
            | "--quiet" => true,
            _ => {
                let threads = argument.strip_prefix("--test-threads=");
                threads.is_some_and(|threads| threads != "1")
            }
        };
        if !is_harmless {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use asgiref::InMemoryChannelLayer;

    use super::*;

    static LAYERS: AtomicUsize = AtomicUsize::new(0);

    struct Counted;

    impl Harness for Counted {
        type Layer = InMemoryChannelLayer;
        const EXPIRY: Duration = Duration::from_millis(500);

        async fn layer(&self) -> InMemoryChannelLayer {
            LAYERS.fetch_add(1, Ordering::SeqCst);
            InMemoryChannelLayer::new()
        }
    }

    #[test]
    fn a_case_runs_once_whoever_runs_it() {
        static AHEAD: Ahead = Ahead::new();
        // All but two, so that those who help have little to do.
        let wanted = ["send_receive", "strings"];
        let ignored: Vec<_> = case_names()
            .iter()
            .copied()
            .filter(|name| !wanted.contains(name))
            .collect();
        AHEAD.start(|| Counted, ignored.leak());
        for name in wanted {
            let report = AHEAD.take(|| Counted, name);
            assert!(report.passed(), "{report}");
            assert_eq!(report.name, name);
        }
        assert_eq!(LAYERS.load(Ordering::SeqCst), wanted.len());
    }

    #[test]
    fn a_harness_that_panics_fails_its_case() {
        static AHEAD: Ahead = Ahead::new();
        let broken: fn() -> Counted = || panic!("install the server");
        let report = AHEAD.take(broken, "strings");
        let told = Outcome::Failed("install the server".to_owned());
        assert_eq!(report.outcome, told);
    }

    #[test]
    fn nothing_runs_ahead_of_chosen_tests_and_single_threads() {
        let whole = |line: &str| is_whole_suite(line.split_ascii_whitespace().map(OsString::from));
        for line in [
            "",
            "--test-threads 4",
            "--test-threads=12 --nocapture",
            "-q",
        ] {
            assert!(whole(line), "{line}");
        }
        for line in [
            "flush",
            "--exact flush",
            "--ignored",
            "--include-ignored",
            "--skip flush",
            "--list",
            "--test-threads 1",
            "--test-threads=1",
            "--test-threads 4 flush",
        ] {
            assert!(!whole(line), "{line}");
        }
    }

    #[test]
    fn the_longest_cases_exist() {
        assert!(LONGEST.iter().all(|name| case_names().contains(name)));
    }
}
