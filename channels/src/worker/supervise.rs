//! Starting receivers and stopping them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::{Error, Result};
use crate::worker::Shared;
use crate::worker::builder::list;
use crate::worker::receive::Run;
use crate::worker::settings::guarded;

/// How often a worker that is told to stop looks whether its channels are empty.
const LOOK: Duration = Duration::from_millis(5);

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
    let shutdown = async {
        shutdown.await;
        let deadline = Instant::now() + shared.settings.grace_period;
        empty_channels(shared, deadline).await;
        deadline
    };
    let mut shutdown = pin!(shutdown);
    let deadline = loop {
        tokio::select! {
            deadline = &mut shutdown => break deadline,
            () = run.wanted.notified() => {
                let room = concurrency.saturating_sub(receivers.len());
                if room == 0 {
                    // Others may have a receiver to spare.
                    run.turns.give_up_vacant(&*shared.origin.layer).await;
                }
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
    };
    drop(attachment);
    let stopped = stop(&run, receivers, deadline).await;
    if lane.is_first && stopped.is_ok() {
        tracing::info!(layer = %shared.origin.layer, "stopped");
    }
    stopped
}

/// Goes on working until as many messages were consumed as there were, if they would end with
/// this process: the clients of a server that was stopped before are among them.
async fn empty_channels(shared: &Shared, deadline: Instant) {
    let layer = &shared.origin.layer;
    let Some(statistics) = layer.as_statistics().filter(|_| layer.is_process_local()) else {
        return;
    };
    let pending = async || {
        let mut sum = 0;
        for channel in &shared.channels {
            let channel = statistics.channel_statistics(channel).await;
            sum += channel.map_or(0, |channel| channel.messages_pending);
        }
        sum
    };
    let mut left = pending().await;
    let enough = shared.counters.messages.value() + left;
    while left > 0 && shared.counters.messages.value() < enough {
        if Instant::now() >= deadline {
            tracing::warn!(
                layer = %layer,
                messages = left,
                "messages were not consumed before the worker stopped",
            );
            return;
        }
        sleep(LOOK).await;
        left = pending().await;
    }
}

async fn stop(run: &Run, mut receivers: JoinSet<()>, deadline: Instant) -> Result<()> {
    run.stop.cancel();
    run.turns.close();
    let grace = run.shared.settings.grace_period;
    let finished = async {
        while receivers.join_next().await.is_some() {}
        // Handed over, but to a receiver that did not come to consume it.
        for (channel, message) in run.turns.clear() {
            run.consume(channel, message).await;
        }
        run.waiting.finished().await;
        // What the layer had taken for the receivers that have gone is for other workers.
        run.shared.origin.layer.settle().await;
    };
    if timeout_at(deadline, finished).await.is_ok() {
        return Ok(());
    }
    let busy = receivers.len();
    receivers.shutdown().await;
    Err(Error::StillRunning { busy, grace })
}
