//! What a site tells about itself while it runs: one vocabulary for protocol servers, workers and
//! channel layers, through the facade of the crate `metrics`.
//!
//! With the feature `metrics` (off by default; `daphne`, `channels` and `asgi-redis` have one of
//! the same name) the counters and gauges below are kept where things happen, for whatever
//! recorder the program installs, such as that of `metrics-exporter-prometheus`. Without the
//! feature everything here does nothing.
//!
//! ```
//! // When the program has installed its recorder, for what each name means and its unit:
//! asgiref::metrics::describe();
//! ```
//!
//! How much waits on channels nobody counts all the time: a program that wants to know asks now
//! and then.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use asgiref::{ChannelLayer, ChannelName};
//!
//! async fn watch(layer: Arc<dyn ChannelLayer>, channels: Vec<ChannelName>) {
//!     let mut tick = tokio::time::interval(Duration::from_secs(10));
//!     loop {
//!         tick.tick().await;
//!         if let Err(error) = asgiref::metrics::observe(&layer, &channels).await {
//!             tracing::warn!(%error, "the channel layer tells no figures");
//!         }
//!     }
//! }
//! ```

use crate::error::Result;
use crate::layer::{ChannelLayer, ChannelLayerExt as _};
use crate::name::ChannelName;

/// Something that is counted, without a unit.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    name: &'static str,
    help: &'static str,
}

/// Something that rises and falls.
#[derive(Clone, Copy, Debug)]
pub struct Gauge {
    name: &'static str,
    help: &'static str,
    is_time: bool,
}

/// The constants and a list of them all; what is said about each serves its documentation and
/// [`describe`].
macro_rules! vocabulary {
    ($list:ident: $type:ident; $($constant:ident = $name:literal, $help:literal $(, $field:ident)?;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help, ".")]
            pub const $constant: $type = $type::new($name, $help)$(.$field())?;
        )*

        const $list: &[$type] = &[$($constant),*];
    };
}

vocabulary! {
    COUNTERS: Counter;

    SERVER_REQUESTS = "asgi_server_requests",
        "requests and WebSockets that a protocol server sent to the channel layer";
    SERVER_CHANNEL_FULL = "asgi_server_channel_full",
        "requests and WebSockets turned away because a channel was full";
    SERVER_TIMEOUTS = "asgi_server_timeouts",
        "requests and WebSockets the application did not answer in time";
    SERVER_SLOW_CLIENTS = "asgi_server_slow_clients",
        "connections given up because the client did not read what it was sent";
    SERVER_LOST_FRAMES = "asgi_server_lost_frames",
        "WebSocket frames that could not be sent to the channel layer";
    SERVER_LOST_DISCONNECTS = "asgi_server_lost_disconnects",
        "`websocket.disconnect` messages that could not be sent to the channel layer";
    SERVER_DISCARDED_REPLIES = "asgi_server_discarded_replies",
        "replies for connections or requests that were gone, or that had overflowed";
    SERVER_BAD_REPLIES = "asgi_server_bad_replies",
        "replies that broke the message format";
    SERVER_LAYER_FAILURES = "asgi_server_layer_failures",
        "failures of the channel layer that a protocol server saw";

    WORKER_MESSAGES = "asgi_worker_messages",
        "messages that workers took off channels";
    WORKER_ERRORS = "asgi_worker_errors",
        "consumers that failed, panicked or ran out of time, and messages they could not take";
    WORKER_UNROUTABLE = "asgi_worker_unroutable",
        "messages no route was found for";
    WORKER_RETRIES = "asgi_worker_retries",
        "messages put back because a consumer asked for it";
    WORKER_DEAD = "asgi_worker_dead",
        "messages dropped after too many attempts, or because they could not be put back";
    WORKER_DROPPED_SENDS = "asgi_worker_dropped_sends",
        "messages of consumers that could not be sent";
    WORKER_LAYER_ERRORS = "asgi_worker_layer_errors",
        "failed attempts of workers to receive from the channel layer";

    LAYER_RECONNECTS = "asgi_layer_reconnects",
        "connections to a server that replaced a lost one; label `backend`";
    LAYER_INTERRUPTED_RECEIVES = "asgi_layer_interrupted_receives",
        "connections lost while messages may have been on their way; label `backend`";
    LAYER_EXPIRED_MESSAGES = "asgi_layer_expired_messages",
        "messages that were found expired when their turn came; label `backend`";
    LAYER_POISONED_MESSAGES = "asgi_layer_poisoned_messages",
        "messages that could not be read, and were skipped; label `backend`";
    LAYER_FULL_MEMBERS = "asgi_layer_full_members",
        "members of groups that missed a message because their channel was full; label `backend`";
    LAYER_DATA_LOSSES = "asgi_layer_data_losses",
        "servers that were found emptied; label `backend`";
}

vocabulary! {
    GAUGES: Gauge;

    SERVER_OPEN_CONNECTIONS = "asgi_server_open_connections",
        "connections of protocol servers that are open, WebSockets included";
    SERVER_OPEN_WEBSOCKETS = "asgi_server_open_websockets",
        "WebSockets that are open";
    WORKER_BUSY = "asgi_worker_busy",
        "consumers running now";
    CHANNEL_MESSAGES_PENDING = "asgi_channel_messages_pending",
        "messages waiting on a channel, as of the last `observe`; label `channel`";
    CHANNEL_MESSAGES_MAX_AGE = "asgi_channel_messages_max_age",
        "seconds the oldest message on a channel has waited, as of the last `observe`; label \
         `channel`", in_seconds;
}

impl Counter {
    const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help }
    }

    /// The name, as recorders get it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What is counted.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// Counts so many.
    #[inline]
    pub fn add(&self, count: u64) {
        facade::add(self.name, count);
    }

    /// Counts so many of one kind of channel layer, the label `backend`.
    #[inline]
    pub fn add_of(&self, backend: &'static str, count: u64) {
        facade::add_of(self.name, backend, count);
    }
}

impl Gauge {
    const fn new(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            is_time: false,
        }
    }

    const fn in_seconds(mut self) -> Self {
        self.is_time = true;
        self
    }

    /// The name, as recorders get it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What is measured.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// One more.
    #[inline]
    pub fn raise(&self) {
        facade::change(self.name, 1.0);
    }

    /// One less.
    #[inline]
    pub fn lower(&self) {
        facade::change(self.name, -1.0);
    }

    fn set(&self, channel: &ChannelName, value: f64) {
        facade::set(self.name, channel, value);
    }
}

/// Tells the recorder what each name means and its unit. For programs, after they have installed
/// their recorder.
pub fn describe() {
    for counter in COUNTERS {
        facade::describe_counter(counter);
    }
    for gauge in GAUGES {
        facade::describe_gauge(gauge);
    }
}

/// Sets the gauges of what waits on `channels`, [`CHANNEL_MESSAGES_PENDING`] and
/// [`CHANNEL_MESSAGES_MAX_AGE`]. For one process of a site, every now and then: it asks the layer.
///
/// # Errors
///
/// [`Error::Unsupported`](crate::Error::Unsupported) if the layer has no statistics,
/// [`Error::Backend`](crate::Error::Backend) if it could not tell them.
pub async fn observe<L: ChannelLayer + ?Sized>(layer: &L, channels: &[ChannelName]) -> Result<()> {
    let statistics = layer.require_statistics()?;
    for channel in channels {
        let figures = statistics.channel_statistics(channel).await?;
        CHANNEL_MESSAGES_PENDING.set(channel, figures.messages_pending as f64);
        CHANNEL_MESSAGES_MAX_AGE.set(channel, figures.messages_max_age.as_secs_f64());
    }
    Ok(())
}

#[cfg(feature = "metrics")]
mod facade {
    use ::metrics::{Unit, counter, describe_counter as describe_as_counter, gauge};

    use super::{ChannelName, Counter, Gauge};

    pub(super) fn add(name: &'static str, count: u64) {
        counter!(name).increment(count);
    }

    pub(super) fn add_of(name: &'static str, backend: &'static str, count: u64) {
        counter!(name, "backend" => backend).increment(count);
    }

    pub(super) fn change(name: &'static str, by: f64) {
        gauge!(name).increment(by);
    }

    pub(super) fn set(name: &'static str, channel: &ChannelName, value: f64) {
        gauge!(name, "channel" => channel.to_string()).set(value);
    }

    pub(super) fn describe_counter(counter: &Counter) {
        describe_as_counter!(counter.name, Unit::Count, counter.help);
    }

    pub(super) fn describe_gauge(gauge: &Gauge) {
        let unit = if gauge.is_time {
            Unit::Seconds
        } else {
            Unit::Count
        };
        ::metrics::describe_gauge!(gauge.name, unit, gauge.help);
    }
}

#[cfg(not(feature = "metrics"))]
mod facade {
    use super::{ChannelName, Counter, Gauge};

    pub(super) const fn add(_: &'static str, _: u64) {}

    pub(super) const fn add_of(_: &'static str, _: &'static str, _: u64) {}

    pub(super) const fn change(_: &'static str, _: f64) {}

    pub(super) const fn set(_: &'static str, _: &ChannelName, _: f64) {}

    pub(super) const fn describe_counter(_: &Counter) {}

    pub(super) const fn describe_gauge(gauge: &Gauge) {
        let _ = gauge.is_time;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_of_one_kind_and_unique() {
        let counters = COUNTERS.iter().map(Counter::name);
        let names: Vec<_> = counters.chain(GAUGES.iter().map(Gauge::name)).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        for name in names {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(
                name.starts_with("asgi_") && name.bytes().all(is_plain),
                "{name}"
            );
        }
    }
}
