//! Receivers: tasks that take messages off channels and consume them.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use asgiref::{Backoff, ChannelName, Message};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::worker::Shared;
use crate::worker::process::process;
use crate::worker::retry::Waiting;

/// First and longest pause after the channel layer failed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often the failure of a layer is logged while it lasts.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// After so many messages in a row others get their turn on the thread.
const TURN: u32 = 32;

/// What the receivers of one run have in common.
pub(super) struct Run {
    pub(super) shared: Arc<Shared>,
    pub(super) stop: CancellationToken,
    pub(super) waiting: Waiting,
    /// The right to receive, one permit for each receiver that may listen at the same time. A
    /// receiver whose consumer has to wait gives its permit to another.
    pub(super) turns: Arc<Semaphore>,
    /// Told when a permit finds no receiver to take it.
    pub(super) wanted: Notify,
    failure: Mutex<Option<Instant>>,
}

impl Run {
    pub(super) fn new(shared: &Arc<Shared>, receivers: usize) -> Self {
        let stop = CancellationToken::new();
        Self {
            shared: Arc::clone(shared),
            waiting: Waiting::new(stop.clone()),
            stop,
            turns: Arc::new(Semaphore::new(receivers)),
            wanted: Notify::new(),
            failure: Mutex::default(),
        }
    }

    /// Receives and consumes until the run is stopped.
    pub(super) async fn receiver(self: Arc<Self>) {
        let mut stopped = pin!(self.stop.cancelled());
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut in_a_row = 0;
        let Ok(mut turn) = self.turn().await else {
            return;
        };
        while let Some(received) = self.next(stopped.as_mut(), &mut backoff).await {
            let Some((channel, message)) = received else {
                continue;
            };
            let mut consumption = pin!(self.consume(channel, message));
            // Most consumers need not wait for anything: then this is all there is to it.
            if poll_fn(|cx| Poll::Ready(consumption.as_mut().poll(cx).is_pending())).await {
                drop(turn);
                if self.turns.available_permits() > 0 {
                    self.wanted.notify_one();
                }
                consumption.await;
                match self.turn().await {
                    Ok(again) => turn = again,
                    Err(Stopped) => return,
                }
                in_a_row = 0;
                continue;
            }
            in_a_row += 1;
            if in_a_row == TURN {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Stopped> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.map_err(|_| Stopped)
    }

    /// The next message; `Some(None)` after a failure of the layer, `None` when stopped.
    async fn next(
        &self,
        mut stopped: Pin<&mut WaitForCancellationFuture<'_>>,
        backoff: &mut Backoff,
    ) -> Option<Option<(ChannelName, Message)>> {
        if self.stop.is_cancelled() {
            return None;
        }
        let Shared {
            origin, channels, ..
        } = &*self.shared;
        let received = tokio::select! {
            biased;
            received = origin.layer.receive(channels) => received,
            () = stopped.as_mut() => return None,
        };
        match received {
            Ok(received) => {
                if backoff.is_counting() {
                    backoff.reset();
                    self.layer_is_back();
                }
                Some(Some(received))
            }
            Err(error) => {
                self.layer_failed(&error);
                tokio::select! {
                    () = tokio::time::sleep(backoff.next_pause()) => Some(None),
                    () = stopped.as_mut() => None,
                }
            }
        }
    }

    async fn consume(&self, channel: ChannelName, message: Message) {
        if let Some(later) = process(&self.shared, channel, message).await {
            self.waiting.add(&self.shared, later).await;
        }
    }

    /// Logs the first failure and one now and then while it lasts.
    fn layer_failed(&self, error: &asgiref::Error) {
        self.shared.counters.layer_errors.add(1);
        let now = Instant::now();
        let mut logged = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| now - at >= LOG_INTERVAL) {
            *logged = Some(now);
            tracing::error!(
                layer = %self.shared.origin.layer,
                error = error as &dyn std::error::Error,
                "cannot receive from the channel layer; trying again",
            );
        }
    }

    fn layer_is_back(&self) {
        let mut logged = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.take().is_some() {
            tracing::info!(layer = %self.shared.origin.layer, "the channel layer is back");
        }
    }
}

/// The run is over.
struct Stopped;
