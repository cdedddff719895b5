//! Waiting for asynchronous work on a thread that has nothing else to do.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::coop;

use crate::error::{Error, Result};

/// The runtime a facade's futures live in. A clone is another handle to it.
#[derive(Clone, Debug)]
pub(super) struct Runtime {
    handle: Handle,
    /// Ends the runtime's own thread, if it has one, when the last handle is dropped.
    _stop: Option<Arc<oneshot::Sender<()>>>,
}

impl Runtime {
    /// A runtime with one thread, which drives timers, connections and background tasks.
    pub(super) fn start() -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("asgiref-blocking".to_owned())
            .spawn(move || {
                // Nothing is ever sent: the wait ends when the sender is dropped.
                let _ = runtime.block_on(stopped);
            })
            .map_err(failed)?;
        Ok(Self {
            handle,
            _stop: Some(Arc::new(stop)),
        })
    }

    /// A runtime that someone else drives.
    pub(super) const fn of(handle: Handle) -> Self {
        Self {
            handle,
            _stop: None,
        }
    }

    /// Waits until `future` is ready.
    pub(super) fn wait<F: Future>(&self, future: F) -> Result<F::Output> {
        loop_until(&self.handle, future, |_| Some(Duration::MAX)).map(|output| {
            output.expect("a wait without a limit ends only when the future is ready")
        })
    }

    /// Waits until `future` is ready, but no longer than `limit`.
    pub(super) fn wait_at_most<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<Option<F::Output>> {
        loop_until(&self.handle, future, |waited| limit.checked_sub(waited))
    }
}

/// Polls `future` on this thread, which sleeps in between, until it is ready or no time is left:
/// `left` says how much there is after some time of waiting.
///
/// Tokio's own `block_on` would panic where blocking is forbidden.
fn loop_until<F: Future>(
    handle: &Handle,
    future: F,
    left: impl Fn(Duration) -> Option<Duration>,
) -> Result<Option<F::Output>> {
    check_may_block()?;
    let _context = handle.enter();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    let start = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(Some(output));
        }
        match left(start.elapsed()) {
            Some(left) => thread::park_timeout(left),
            None => return Ok(None),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// More than tokio lets a task do at a stretch.
const MORE_THAN_A_BUDGET: usize = 1024;

/// Refuses to block a thread that runs an asynchronous task, since all other tasks of the thread
/// would stand still: possibly the one that is waited for.
///
/// Tokio cannot be asked directly. But a task, and nothing else, has a budget of operations after
/// which it must give way; a thread made for blocking work has none, though it belongs to the
/// runtime as well. What is used up here to find out is given back when `used` is dropped.
fn check_may_block() -> Result<()> {
    if Handle::try_current().is_err() {
        return Ok(());
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut used = Vec::new();
    while coop::has_budget_remaining() && used.len() < MORE_THAN_A_BUDGET {
        used.push(coop::poll_proceed(&mut cx));
    }
    let has_budget = !coop::has_budget_remaining();
    // The last one taken must be the first one given back.
    while used.pop().is_some() {}
    if has_budget {
        Err(Error::BlockingInAsync)
    } else {
        Ok(())
    }
}

fn failed(source: std::io::Error) -> Error {
    Error::backend("blocking", source)
}
