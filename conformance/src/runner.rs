use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::harness::Harness;
use crate::outcome::{CaseReport, Outcome, Report, Verdict};
use crate::stall::StallWatch;

/// How many cases run at the same time in real time, where most of them wait for something to
/// expire.
const REAL_TIME_JOBS: usize = 4;

/// How often a case is tried that failed while the machine stood still for too long.
const ATTEMPTS: usize = 3;

type CaseFuture<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// One case for one harness.
struct Case<H> {
    name: &'static str,
    body: for<'a> fn(&'a H) -> CaseFuture<'a>,
}

impl<H> Clone for Case<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Case<H> {}

macro_rules! case_table {
    ($($name:ident)*) => {
        fn table<H: Harness>() -> Vec<Case<H>> {
            vec![$(Case {
                name: stringify!($name),
                body: |harness| Box::pin(async move {
                    crate::cases::$name(harness).await.outcome()
                }),
            }),*]
        }

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

crate::__cases! { all case_table }

/// The names of all cases, in the order of the list.
#[must_use]
pub const fn case_names() -> &'static [&'static str] {
    NAMES
}

/// Runs every case, several at the same time, and reports.
///
/// Never panics: a case that panics is one that failed.
///
/// ```no_run
/// # use conformance::Harness;
/// # fn example(harness: impl Harness) {
/// let report = conformance::run(harness);
/// println!("{report}");
/// std::process::exit(if report.is_success() { 0 } else { 1 });
/// # }
/// ```
pub fn run<H: Harness>(harness: H) -> Report {
    run_selected(harness, |_| true)
}

/// As [`run`], but runs only the cases whose name `select` chooses.
pub fn run_selected<H: Harness>(harness: H, mut select: impl FnMut(&str) -> bool) -> Report {
    let harness = Arc::new(harness);
    let mut table = table::<H>();
    table.retain(|case| select(case.name));
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let jobs = if H::VIRTUAL_TIME {
        cpus
    } else {
        cpus.max(REAL_TIME_JOBS)
    };
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::with_capacity(table.len()));
    thread::scope(|scope| {
        for _ in 0..jobs.min(table.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&case) = table.get(at) else { break };
                    let report = execute(&harness, case);
                    let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                    reports.push((at, report));
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_unstable_by_key(|(at, _)| *at);
    Report {
        cases: reports.into_iter().map(|(_, report)| report).collect(),
    }
}

/// Runs the case called `name`; `None` if there is none of that name.
pub fn run_case<H: Harness>(harness: H, name: &str) -> Option<CaseReport> {
    let case = table::<H>().into_iter().find(|case| case.name == name)?;
    Some(execute(&Arc::new(harness), case))
}

/// Tries the case; again if it failed and the machine is the more likely culprit.
fn execute<H: Harness>(harness: &Arc<H>, case: Case<H>) -> CaseReport {
    let started = Instant::now();
    let mut attempt = 1;
    let outcome = loop {
        let (outcome, stall) = attempt_once(harness, case);
        if attempt == ATTEMPTS || !is_excused(&outcome, stall, H::EXPIRY) {
            break outcome;
        }
        attempt += 1;
    };
    CaseReport {
        name: case.name,
        outcome,
        elapsed: started.elapsed(),
    }
}

/// Whether the case failed while the machine stood still for so long that messages may have
/// expired that were meant to be received.
fn is_excused(outcome: &Outcome, stall: Duration, expiry: Duration) -> bool {
    matches!(outcome, Outcome::Failed(_)) && stall > expiry / 5
}

/// Runs the case on a thread of its own, so that a layer that blocks its thread is found, and
/// says how long the machine stood still meanwhile.
fn attempt_once<H: Harness>(harness: &Arc<H>, case: Case<H>) -> (Outcome, Duration) {
    let (sender, receiver) = sync_channel(1);
    let harness = Arc::clone(harness);
    let spawned = thread::Builder::new()
        .name(format!("conformance case {}", case.name))
        .spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| on_runtime(&*harness, case)));
            let result = result
                .unwrap_or_else(|panic| (Outcome::Failed(panic_message(&*panic)), Duration::ZERO));
            // Nobody listens any more if the case took too long; then it was reported already.
            let _ = sender.send(result);
        });
    if let Err(error) = spawned {
        let message = format!("no thread to run the case on: {error}");
        return (Outcome::Failed(message), Duration::ZERO);
    }
    match receiver.recv_timeout(H::CASE_LIMIT) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            let message = format!(
                "the case did not end within {:?}: the layer blocks a thread",
                H::CASE_LIMIT
            );
            (Outcome::Failed(message), Duration::ZERO)
        }
        Err(RecvTimeoutError::Disconnected) => {
            let message = "the case's thread ended without a result".to_owned();
            (Outcome::Failed(message), Duration::ZERO)
        }
    }
}

fn on_runtime<H: Harness>(harness: &H, case: Case<H>) -> (Outcome, Duration) {
    let runtime = match runtime::<H>() {
        Ok(runtime) => runtime,
        Err(error) => {
            let message = format!("no runtime to run the case on: {error}");
            return (Outcome::Failed(message), Duration::ZERO);
        }
    };
    let stall = (!H::VIRTUAL_TIME).then(|| StallWatch::start(&runtime));
    let body = AssertUnwindSafe(|| runtime.block_on((case.body)(harness)));
    let outcome =
        catch_unwind(body).unwrap_or_else(|panic| Outcome::Failed(panic_message(&*panic)));
    let stall = stall.map_or(Duration::ZERO, |watch| watch.longest());
    // A task of the layer that does not yield must not hold up the report.
    runtime.shutdown_timeout(Duration::from_secs(1));
    (outcome, stall)
}

fn runtime<H: Harness>() -> std::io::Result<Runtime> {
    if H::VIRTUAL_TIME {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
    } else {
        Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else {
        "a panic without a message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_excused_by_a_long_stall_only() {
        let failed = Outcome::Failed("nothing came".to_owned());
        let (short, long) = (Duration::from_millis(50), Duration::from_millis(300));
        let expiry = Duration::from_secs(1);
        assert!(is_excused(&failed, long, expiry));
        assert!(!is_excused(&failed, short, expiry));
        assert!(!is_excused(&failed, Duration::ZERO, expiry));
        assert!(!is_excused(&Outcome::Passed, long, expiry));
    }

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        for panic in [
            catch_unwind(|| panic!("literal")),
            catch_unwind(|| panic!("{}", "literal")),
        ] {
            assert_eq!(panic_message(&*panic.unwrap_err()), "literal");
        }
        let odd = catch_unwind(|| std::panic::panic_any(1)).unwrap_err();
        assert_eq!(panic_message(&*odd), "a panic without a message");
    }
}
