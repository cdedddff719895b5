//! Starting receivers and stopping them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::worker::Shared;
use crate::worker::builder::list;
use crate::worker::receive::Run;
use crate::worker::retry::give_back;
use crate::worker::settings::guarded;

/// A worker's share in the work, on a runtime of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    /// How many consumers run at once.
    pub(super) concurrency: usize,
    /// Whether it speaks for the worker: what goes for all lanes is said once.
    pub(super) is_first: bool,
}

/// Runs a worker, or a lane of it, until `shutdown` is ready, then stops it.
pub(super) async fn run(
    shared: &Arc<Shared>,
    lane: Lane,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let runtime = Handle::current();
    let concurrency = lane.concurrency;
    let listening = runtime.metrics().num_workers().min(concurrency);
    let run = Arc::new(Run::new(shared, runtime.id(), listening));
    let attachment = shared
        .origin
        .layer
        .attach(&shared.channels, Arc::clone(&run) as _);
    let mut receivers = JoinSet::new();
    for _ in 0..listening {
        receivers.spawn(Arc::clone(&run).receiver());
    }
    if lane.is_first {
        tracing::info!(
            layer = %shared.origin.layer,
            channels = list(&shared.channels),
            "listening",
        );
        if let Some(on_ready) = &shared.settings.on_ready {
            guarded("on_ready", || on_ready());
        }
    }
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = run.wanted.notified() => {
                let room = concurrency.saturating_sub(receivers.len());
                for _ in 0..run.turns.available().min(room) {
                    receivers.spawn(Arc::clone(&run).receiver());
                }
            }
            Some(Err(error)) = receivers.join_next() => {
                // Panics of what the application gave us are caught; whatever this one is of,
                // messages must go on being consumed.
                tracing::error!(error = &error as &dyn std::error::Error, "a receiver failed");
                receivers.spawn(Arc::clone(&run).receiver());
            }
        }
    }
    drop(attachment);
    let stopped = stop(&run, receivers).await;
    if lane.is_first && stopped.is_ok() {
        tracing::info!(layer = %shared.origin.layer, "stopped");
    }
    stopped
}

async fn stop(run: &Run, mut receivers: JoinSet<()>) -> Result<()> {
    run.stop.cancel();
    run.turns.close();
    let grace = run.shared.settings.grace_period;
    let finished = async {
        while receivers.join_next().await.is_some() {}
        run.waiting.finished().await;
    };
    let finished = tokio::time::timeout(grace, finished).await;
    // Handed over, but to a receiver that did not come to consume it.
    for (channel, message) in run.turns.clear() {
        give_back(&run.shared, &channel, message).await;
    }
    if finished.is_ok() {
        return Ok(());
    }
    let busy = receivers.len();
    receivers.shutdown().await;
    Err(Error::StillRunning { busy, grace })
}
