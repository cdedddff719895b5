//! Receivers: tasks that take messages off channels and consume them.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use asgiref::{Backoff, ChannelName, Message, Recipient};
use tokio::runtime::{self, Handle};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::worker::Shared;
use crate::worker::process::process;
use crate::worker::retry::Waiting;
use crate::worker::seat::Seat;
use crate::worker::turns::Turns;

/// First and longest pause after the channel layer failed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often the failure of a layer is logged while it lasts.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// After so many messages in a row others get their turn on the thread.
const TURN: u32 = 32;

type Received = (ChannelName, Message);

type Receiving<'run> = Pin<Box<dyn Future<Output = asgiref::Result<Received>> + Send + 'run>>;

/// How a receiver listens.
#[derive(Default)]
struct Ear<'run> {
    /// Its place among those who wait in the layer.
    receiving: Option<Receiving<'run>>,
    /// It has let others of its thread go first since the last message.
    has_rested: bool,
    /// Messages that were handed to it since it asked the layer last.
    since: u32,
}

/// What the receivers of one run have in common.
pub(super) struct Run {
    runtime: runtime::Id,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: CancellationToken,
    pub(super) waiting: Waiting,
    pub(super) turns: Arc<Turns>,
    /// Told when a turn finds no receiver to take it.
    pub(super) wanted: Notify,
    failure: Mutex<Option<Instant>>,
}

impl Run {
    /// For `receivers` of them on one runtime.
    pub(super) fn new(shared: &Arc<Shared>, runtime: runtime::Id, receivers: usize) -> Self {
        let stop = CancellationToken::new();
        Self {
            runtime,
            shared: Arc::clone(shared),
            waiting: Waiting::new(stop.clone()),
            stop,
            turns: Arc::new(Turns::new(receivers)),
            wanted: Notify::new(),
            failure: Mutex::default(),
        }
    }

    /// Receives and consumes until the run is stopped.
    pub(super) async fn receiver(self: Arc<Self>) {
        let mut stopped = pin!(self.stop.cancelled());
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut in_a_row = 0;
        let Some(mut turn) = self.turns.next().await else {
            return;
        };
        let mut ear = Ear::default();
        loop {
            let next =
                poll_fn(|context| self.poll_next(context, turn.seat(), &mut ear, stopped.as_mut()));
            let (channel, message) = match next.await {
                Some(Ok(received)) => {
                    if backoff.is_counting() {
                        backoff.reset();
                        self.layer_is_back();
                    }
                    received
                }
                Some(Err(error)) => {
                    self.layer_failed(&error);
                    tokio::select! {
                        () = tokio::time::sleep(backoff.next_pause()) => continue,
                        () = stopped.as_mut() => return,
                    }
                }
                None => return,
            };
            let mut consumption = pin!(self.consume(channel, message));
            // Most consumers need not wait for anything: then this is all there is to it.
            if poll_fn(|cx| Poll::Ready(consumption.as_mut().poll(cx).is_pending())).await {
                ear = Ear::default();
                drop(turn);
                if self.turns.available() > 0 {
                    self.wanted.notify_one();
                }
                consumption.await;
                match self.turns.next().await {
                    Some(again) => turn = again,
                    None => return,
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

    /// The next message, from the seat or else from the layer; `None` when stopped. What lies at
    /// the seat comes first, because on its channel it was sent first, and even after a stop.
    ///
    /// A receiver that is busy does not wait in the layer: a message that waits for it while its
    /// thread is held up could be another's by then. So it goes there only when others of its
    /// thread had their turn and handed it nothing, when it has refused something, or has not
    /// been there for long.
    fn poll_next<'run>(
        &'run self,
        context: &mut Context<'_>,
        seat: &Seat,
        ear: &mut Ear<'run>,
        stopped: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Poll<Option<asgiref::Result<Received>>> {
        if let Poll::Ready(received) = seat.poll_next(context) {
            ear.receiving = None;
            ear.has_rested = false;
            ear.since += 1;
            return Poll::Ready(Some(Ok(received)));
        }
        if stopped.poll(context).is_ready() {
            return Poll::Ready(None);
        }
        if seat.take_refusal() || ear.since >= TURN {
            ear.has_rested = true;
        }
        if !std::mem::replace(&mut ear.has_rested, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ear.since = 0;
        let Shared {
            origin, channels, ..
        } = &*self.shared;
        let receiving = &mut ear.receiving;
        let receive = receiving.get_or_insert_with(|| origin.layer.receive(channels));
        let received = ready!(receive.as_mut().poll(context));
        *receiving = None;
        seat.close();
        Poll::Ready(Some(received))
    }

    pub(super) async fn consume(&self, channel: ChannelName, message: Message) {
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

/// Messages of a layer in this process go straight to a receiver, if one is free where they are
/// sent. Elsewhere there may be another worker, whose they are; if not, they are received.
impl Recipient for Run {
    fn take(&self, channel: &ChannelName, message: Message) -> Result<Option<Waker>, Message> {
        match Handle::try_current() {
            Ok(here) if here.id() == self.runtime => self.turns.nearest().offer(channel, message),
            _ => Err(message),
        }
    }
}
