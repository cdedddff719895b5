//! Starting receivers and stopping them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::worker::Shared;
use crate::worker::builder::list;
use crate::worker::receive::Run;
use crate::worker::settings::guarded;

/// Runs a worker until `shutdown` is ready, then stops it.
pub(super) async fn run(shared: &Arc<Shared>, shutdown: impl Future<Output = ()>) -> Result<()> {
    let concurrency = shared.settings.concurrency;
    let listening = available_parallelism()
        .map_or(1, usize::from)
        .min(concurrency);
    let run = Arc::new(Run::new(shared, listening));
    let mut receivers = JoinSet::new();
    for _ in 0..listening {
        receivers.spawn(Arc::clone(&run).receiver());
    }
    tracing::info!(
        layer = %shared.origin.layer,
        channels = list(&shared.channels),
        "listening",
    );
    if let Some(on_ready) = &shared.settings.on_ready {
        guarded("on_ready", || on_ready());
    }
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = run.wanted.notified() => {
                let room = concurrency.saturating_sub(receivers.len());
                for _ in 0..run.turns.available_permits().min(room) {
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
    stop(&run, receivers).await
}

async fn stop(run: &Run, mut receivers: JoinSet<()>) -> Result<()> {
    run.stop.cancel();
    run.turns.close();
    let grace = run.shared.settings.grace_period;
    let finished = async {
        while receivers.join_next().await.is_some() {}
        run.waiting.finished().await;
    };
    if tokio::time::timeout(grace, finished).await.is_ok() {
        tracing::info!(layer = %run.shared.origin.layer, "stopped");
        return Ok(());
    }
    let busy = receivers.len();
    receivers.shutdown().await;
    Err(Error::StillRunning { busy, grace })
}
