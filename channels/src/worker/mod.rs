//! Taking messages off channels and calling their consumers.

mod builder;
mod process;
mod receive;
mod report;
mod retry;
mod seat;
mod settings;
mod statistics;
mod supervise;
mod turns;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use asgiref::{ChannelLayer, ChannelName};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Origin;
use crate::error::Result;
use crate::routing::{Router, RoutingTable};

use settings::Settings;
use statistics::Counters;
use supervise::Lane;

pub use builder::WorkerBuilder;
pub use report::ErrorReport;
pub use statistics::WorkerStatistics;

/// Takes messages off the channels of a channel layer, finds the consumer of each by the routing,
/// calls it, and sends what it replied.
///
/// Any number of workers, in any number of processes, may work on the same layer; each message
/// goes to one of them.
///
/// # What it survives
///
/// A worker ends when it is told to, and not before. Consumers that fail or panic, messages
/// without a route and full channels are logged and counted. If the channel layer itself fails,
/// the worker tries again, less and less often, until it is back.
///
/// A consumer that fails without having answered is answered for: an HTTP request gets status
/// 500, a WebSocket that waits to be accepted is rejected. See
/// [`ConsumerError`](crate::ConsumerError) for all cases.
///
/// # How many consumers run at once
///
/// As many as [`concurrency`](WorkerBuilder::concurrency) says. A consumer that does not have to
/// wait for anything is run at once by whoever took its message off the channel, without a task
/// of its own; only while consumers wait are others started. So a worker with quick consumers
/// makes no use of more than a few receivers, however high the limit.
///
/// A clone is another handle to the same worker.
///
/// ```
/// use std::sync::Arc;
/// use asgiref::{ChannelLayer as _, ChannelName, InMemoryChannelLayer, message};
/// use channels::{Context, Router, Worker, route};
///
/// async fn echo(cx: Context) -> channels::Outcome {
///     cx.reply(message! { "text" => cx.message().text("text")?.clone() });
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> channels::Result<()> {
/// let layer = Arc::new(InMemoryChannelLayer::new());
/// let router = Router::new().route(route("websocket.receive", echo));
/// let worker = Worker::builder(layer.clone(), router).build()?;
///
/// layer.send(&ChannelName::new("websocket.receive")?, message! {
///     "reply_channel" => "client!abc",
///     "text" => "Hello?",
/// }).await?;
/// worker.run_once().await?;
///
/// let (_, reply) = layer.receive(&[ChannelName::new("client!")?]).await?;
/// assert_eq!(reply.text("text")?, "Hello?");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Worker {
    shared: Arc<Shared>,
}

/// What all handles to a worker share.
pub(crate) struct Shared {
    origin: Arc<Origin>,
    table: RoutingTable,
    channels: Vec<ChannelName>,
    settings: Settings,
    counters: Counters,
}

impl Worker {
    /// Begins the settings of a worker for the messages of `layer`, routed by `router`.
    pub fn builder(layer: Arc<dyn ChannelLayer>, router: Router) -> WorkerBuilder {
        WorkerBuilder::new(layer, router)
    }

    fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Works until `shutdown` is ready, then ends the consumers in hand and returns.
    ///
    /// Messages that wait to be consumed [later](crate::ConsumerError::ConsumeLater) are put back
    /// on their channel for another worker.
    ///
    /// # Errors
    ///
    /// [`Error::StillRunning`](crate::Error::StillRunning) if consumers had to be given up
    /// because they ran on beyond the [grace period](WorkerBuilder::grace_period).
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let lane = Lane {
            concurrency: self.shared.settings.concurrency,
            is_first: true,
        };
        supervise::run(&self.shared, lane, shutdown).await
    }

    /// How many consumers it runs at once.
    pub(crate) fn concurrency(&self) -> usize {
        self.shared.settings.concurrency
    }

    /// Works on several runtimes until `stop` is cancelled, as [`run`](Self::run) does on one.
    pub(crate) async fn run_on(&self, runtimes: &[Handle], stop: &CancellationToken) -> Result<()> {
        // Aborted when the set is dropped.
        let mut lanes = JoinSet::new();
        for (number, runtime) in runtimes.iter().enumerate() {
            let concurrency = self.concurrency();
            let share = concurrency / runtimes.len();
            let lane = Lane {
                concurrency: share + usize::from(number < concurrency % runtimes.len()),
                is_first: number == 0,
            };
            if lane.concurrency > 0 {
                let (shared, stop) = (Arc::clone(&self.shared), stop.clone());
                let lane = async move { supervise::run(&shared, lane, stop.cancelled()).await };
                lanes.spawn_on(lane, runtime);
            }
        }
        let mut stopped = Ok(());
        while let Some(lane) = lanes.join_next().await {
            match lane {
                Ok(result) => stopped = stopped.and(result),
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a worker failed to stop"
                ),
            }
        }
        stopped
    }

    /// Takes one message, if there is one, and consumes it; for tests and for programs that have
    /// a loop of their own. A message to be consumed later is put back at once.
    ///
    /// Returns whether there was a message.
    ///
    /// # Errors
    ///
    /// Those of the layer's [`try_receive`](ChannelLayer::try_receive); consumers' errors are
    /// dealt with as always.
    pub async fn run_once(&self) -> Result<bool> {
        let shared = &self.shared;
        let Some((channel, message)) = shared.origin.layer.try_receive(&shared.channels).await?
        else {
            return Ok(false);
        };
        if let Some(later) = process::process(shared, channel, message).await {
            retry::put_back(shared, later).await;
        }
        Ok(true)
    }

    /// The channels the worker listens on, in alphabetical order.
    #[must_use]
    pub fn channels(&self) -> &[ChannelName] {
        &self.shared.channels
    }

    /// The channel layer it works on.
    #[must_use]
    pub fn layer(&self) -> &Arc<dyn ChannelLayer> {
        &self.shared.origin.layer
    }

    /// What the worker has done so far.
    #[must_use]
    pub fn statistics(&self) -> WorkerStatistics {
        self.shared.counters.snapshot()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("layer", &self.shared.origin.layer.to_string())
            .field("channels", &self.shared.channels)
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
