use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::name::GroupName;

/// The least time between two warnings.
const INTERVAL: Duration = Duration::from_secs(5);

/// Warns that a layer drops messages to groups: to be told by a layer's
/// [`send_group`](crate::Groups::send_group) of the members that missed a message.
///
/// A message that is sent to one channel comes back to its sender if the channel is full; a member
/// of a group just misses it. So that a site which loses messages does not do so in silence, the
/// first loss is logged at once, and what follows every five seconds, with the layer, the group
/// concerned last, and how many deliveries of the whole layer were dropped since the last warning.
/// The last of these comes from a task on the runtime of the caller, whose timer must be enabled;
/// where there is no runtime it comes with the next loss.
///
/// ```
/// use asgiref::{DroppedDeliveries, GroupName};
///
/// # fn main() -> asgiref::Result<()> {
/// let dropped = DroppedDeliveries::new("OwnChannelLayer");
/// // In `send_group`, with the number of members whose channel was full, which may be 0:
/// dropped.add(&GroupName::new("chat-garden")?, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DroppedDeliveries {
    shared: Arc<Shared>,
}

struct Shared {
    layer: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since the last warning.
    dropped: u64,
    group: Option<GroupName>,
    /// When there may be another warning.
    next: Option<Instant>,
    /// Whether a task waits for that time.
    expected: bool,
}

impl DroppedDeliveries {
    /// `layer` is what the layer is called in the warnings; of its address, no password.
    #[must_use]
    pub fn new(layer: impl Into<String>) -> Self {
        Self {
            shared: Arc::new(Shared {
                layer: layer.into(),
                state: Mutex::default(),
            }),
        }
    }

    /// Counts members of `group` that missed a message, and warns of it now or later.
    pub fn add(&self, group: &GroupName, members: u64) {
        if members == 0 {
            return;
        }
        let now = Instant::now();
        let mut state = self.shared.lock();
        state.dropped = state.dropped.saturating_add(members);
        if state.group.as_ref() != Some(group) {
            state.group = Some(group.detached());
        }
        match state.next {
            Some(next) if now < next => {
                if !state.expected
                    && let Ok(runtime) = Handle::try_current()
                {
                    state.expected = true;
                    drop(state);
                    let summary = Summary {
                        shared: Arc::clone(&self.shared),
                        at: next,
                        pending: true,
                    };
                    runtime.spawn(summary.run());
                }
            }
            _ => self.shared.warn(state, now),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs what was counted, without the lock.
    fn warn(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        let dropped = std::mem::take(&mut state.dropped);
        let group = state.group.take();
        state.next = Some(now + INTERVAL);
        drop(state);
        if let Some(group) = group {
            tracing::warn!(
                layer = self.layer,
                group = group.as_str(),
                dropped,
                "messages to members of groups were dropped because their channels are full",
            );
        }
    }
}

/// A warning that is due when the interval is over.
struct Summary {
    shared: Arc<Shared>,
    at: Instant,
    pending: bool,
}

impl Summary {
    async fn run(mut self) {
        sleep_until(self.at).await;
        self.pending = false;
        let mut state = self.shared.lock();
        state.expected = false;
        self.shared.warn(state, Instant::now());
    }
}

impl Drop for Summary {
    /// A runtime that ends takes its tasks along; somebody else has to see to it then.
    fn drop(&mut self) {
        if self.pending {
            self.shared.lock().expected = false;
        }
    }
}

impl fmt::Debug for DroppedDeliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DroppedDeliveries")
            .field("layer", &self.shared.layer)
            .finish_non_exhaustive()
    }
}
