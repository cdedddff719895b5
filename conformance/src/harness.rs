use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, Extension};

/// What a channel layer tells the suite about itself, and how the suite gets one to try.
///
/// The knobs are those of asgiref's `ConformanceTestCase` (`expiry_delay`, `capacity_limit`,
/// `receive_tries`) and a few more. Only [`layer`](Self::layer) has to be written; the constants
/// must agree with how it configures the layer.
///
/// The group expiry is asked of the layer
/// ([`Groups::group_expiry`](asgiref::Groups::group_expiry)). Make it at least four times
/// [`EXPIRY`](Self::EXPIRY) and, unless time is virtual, at most 20 seconds: the cases about it
/// wait that long, and fail if they cannot be run as configured.
///
/// ```
/// use std::time::Duration;
/// use asgiref::{InMemoryChannelLayer, LayerConfig};
/// use conformance::Harness;
///
/// struct InMemory;
///
/// impl Harness for InMemory {
///     type Layer = InMemoryChannelLayer;
///     const EXPIRY: Duration = Duration::from_secs(1);
///     const CAPACITY: Option<usize> = Some(5);
///     const VIRTUAL_TIME: bool = true;
///
///     async fn layer(&self) -> InMemoryChannelLayer {
///         InMemoryChannelLayer::with_config(
///             LayerConfig::new()
///                 .expiry(Self::EXPIRY)
///                 .group_expiry(Duration::from_secs(5))
///                 .capacity(5),
///         )
///     }
/// }
///
/// assert!(conformance::run_case(InMemory, "send_receive").unwrap().passed());
/// ```
pub trait Harness: Send + Sync + 'static {
    /// The layer under test; `Arc<dyn ChannelLayer>` if it is known only at run time.
    type Layer: ChannelLayer;

    /// How long the layer is configured to keep unread messages. Shorter is faster; not shorter
    /// than a few hundred milliseconds in real time, or a slow machine is mistaken for a fault.
    const EXPIRY: Duration = Duration::from_secs(1);

    /// How much later than promised a message or a membership may disappear: the resolution of
    /// the layer's clock and the time its clean-up takes. Less than half of
    /// [`EXPIRY`](Self::EXPIRY).
    const EXPIRY_MARGIN: Duration = Duration::from_millis(100);

    /// How many messages the layer is configured to hold in each channel; five or more. `None` if
    /// it has no limit: the cases about capacity are then skipped.
    const CAPACITY: Option<usize> = None;

    /// How many times `try_receive` may have to be called until it finds a message on a normal
    /// channel, because the layer looks at one of several servers each time. Single-reader and
    /// process-specific channels are not given this allowance.
    const RECEIVE_TRIES: usize = 1;

    /// The extensions the layer provides. One that is listed and missing, or provided and not
    /// listed, fails the case `extensions`; cases that need one not listed are skipped.
    const EXTENSIONS: &'static [Extension] =
        &[Extension::Flush, Extension::Groups, Extension::Statistics];

    /// Whether the layer takes all its time from tokio's clock and waits for nothing outside the
    /// process. The cases then run on a paused clock, which advances when everything is idle:
    /// waiting costs nothing and expiry is exact.
    const VIRTUAL_TIME: bool = false;

    /// Whether dropping a `receive` may lose the one message that was already on its way to it.
    /// The contract allows that much; a layer that loses nothing should say so here and be held
    /// to it.
    const CANCEL_MAY_LOSE_ONE: bool = false;

    /// How many messages the case `delivery_rate` sends. The specification expects 99.99 % to
    /// arrive, so fewer than 10,000 means that none may be lost.
    const DELIVERIES: usize = 20_000;

    /// How many cases run besides those whose tests have come up, unless time is virtual. Nearly
    /// all of them wait, for something to expire or for a server, so that there may be many more
    /// than processors; fewer for a server to which each case is much work.
    const AHEAD: usize = 12;

    /// The longest any one step of a case may take before the case fails.
    const STEP_LIMIT: Duration = Duration::from_secs(10);

    /// The longest a whole case may take, by the wall clock; finds layers that block a thread.
    const CASE_LIMIT: Duration = Duration::from_secs(300);

    /// A layer no other case can see and nothing has been sent to: a new instance, or a new
    /// prefix, virtual host or segment name. Called once or more in each case, for several cases
    /// at the same time, each time within the runtime of the case.
    fn layer(&self) -> impl Future<Output = Self::Layer> + Send;

    /// `count` clients of one such layer, as several programs would have them: own connections,
    /// perhaps own processes. Without an implementation of your own all of them are one and the
    /// same value, which is right only for layers that have no connections.
    fn clients(&self, count: usize) -> impl Future<Output = Vec<Arc<dyn ChannelLayer>>> + Send {
        async move {
            let layer: Arc<dyn ChannelLayer> = Arc::new(self.layer().await);
            vec![layer; count]
        }
    }
}
