use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelName, Message};

use crate::worker::report::ErrorReport;

pub(super) type OnMessage = Arc<dyn Fn(&ChannelName, &Message) + Send + Sync>;
pub(super) type OnError = Arc<dyn Fn(&ErrorReport<'_>) + Send + Sync>;
pub(super) type OnReady = Arc<dyn Fn() + Send + Sync>;

/// How a worker works; the builder documents each.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) concurrency: usize,
    pub(super) message_retries: u64,
    pub(super) retry_delay: Duration,
    pub(super) send_timeout: Duration,
    pub(super) consumer_timeout: Option<Duration>,
    pub(super) close_on_error: Option<u16>,
    pub(super) grace_period: Duration,
    pub(super) on_message: Option<OnMessage>,
    pub(super) on_error: Option<OnError>,
    pub(super) on_ready: Option<OnReady>,
}

/// Calls a function given to the builder; a panic in it is logged and does no harm.
pub(super) fn guarded(what: &'static str, function: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(function)).is_err() {
        tracing::error!("the worker's `{what}` function panicked");
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 128,
            message_retries: 10,
            retry_delay: Duration::from_millis(50),
            send_timeout: Duration::from_secs(5),
            consumer_timeout: None,
            close_on_error: None,
            grace_period: Duration::from_secs(10),
            on_message: None,
            on_error: None,
            on_ready: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("concurrency", &self.concurrency)
            .field("message_retries", &self.message_retries)
            .field("retry_delay", &self.retry_delay)
            .field("send_timeout", &self.send_timeout)
            .field("consumer_timeout", &self.consumer_timeout)
            .field("close_on_error", &self.close_on_error)
            .field("grace_period", &self.grace_period)
            .finish_non_exhaustive()
    }
}
