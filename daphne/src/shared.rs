use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use asgiref::ChannelLayer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::{Action, ActionLogger};
use crate::connection::Connection;
use crate::counters::Counters;
use crate::options::Options;
use crate::replies::{ReplyTable, SpoolSpace};

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) layer: Arc<dyn ChannelLayer>,
    pub(crate) options: Options,
    pub(crate) replies: ReplyTable<Connection>,
    /// Where responses wait for slow clients, once they are too much for the memory.
    pub(crate) spool: Option<Arc<SpoolSpace>>,
    pub(crate) counters: Counters,
    /// The tasks that must end before the server has ended: connections, and messages about
    /// their end.
    pub(crate) tasks: TaskTracker,
    actions: Option<Arc<dyn ActionLogger>>,
    /// Where the connections' clocks begin.
    epoch: Instant,
    stage: AtomicU8,
    /// When the server was told to stop.
    told_to_stop: OnceLock<Instant>,
    /// Cancelled when the server is told to stop: for tasks that are not told through a mailbox.
    pub(crate) draining: CancellationToken,
}

/// How far a server is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    Running,
    /// Requests in hand are finished, WebSockets are closed.
    Draining,
    /// What is still there is cut off.
    Stopping,
}

impl Shared {
    pub(crate) fn new(
        layer: Arc<dyn ChannelLayer>,
        options: Options,
        actions: Option<Arc<dyn ActionLogger>>,
    ) -> Self {
        let spool = (options.response_spool > 0).then(|| {
            Arc::new(SpoolSpace::new(
                options.spool_directory.clone(),
                options.response_spool,
                options.total_spool,
            ))
        });
        Self {
            layer,
            options,
            spool,
            replies: ReplyTable::new(),
            counters: Counters::default(),
            tasks: TaskTracker::new(),
            actions,
            epoch: Instant::now(),
            stage: AtomicU8::new(Stage::Running as u8),
            told_to_stop: OnceLock::new(),
            draining: CancellationToken::new(),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Running,
            1 => Stage::Draining,
            _ => Stage::Stopping,
        }
    }

    /// Goes on to `stage` and tells every connection.
    pub(crate) fn enter(&self, stage: Stage) {
        self.told_to_stop.get_or_init(Instant::now);
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
        self.draining.cancel();
        self.replies
            .for_each(|connection| connection.mailbox.wake());
    }

    /// When what a client has begun to send must have got on, once the server is told to stop.
    pub(crate) fn last_moment(&self) -> Option<Instant> {
        let told = self.told_to_stop.get()?;
        Some(*told + self.options.shutdown_read_timeout)
    }

    /// Whether anybody wants to know what happens.
    pub(crate) fn is_logging(&self) -> bool {
        self.actions.is_some()
    }

    pub(crate) fn log(&self, action: Action<'_>) {
        if let Some(logger) = &self.actions {
            logger.log(&action);
        }
    }

    /// `instant` in nanoseconds from the epoch.
    pub(crate) fn ticks(&self, instant: Instant) -> u64 {
        let elapsed = instant.saturating_duration_since(self.epoch);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The other way round.
    pub(crate) fn instant(&self, ticks: u64) -> Instant {
        self.epoch + std::time::Duration::from_nanos(ticks)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("layer", &self.layer)
            .field("options", &self.options)
            .field("stage", &self.stage())
            .finish_non_exhaustive()
    }
}
