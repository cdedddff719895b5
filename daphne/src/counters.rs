use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use asgiref::metrics;
use tokio::sync::Notify;

/// What a server has done since it was made, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections that are open, WebSockets included.
    pub open_connections: usize,
    /// WebSockets that are open.
    pub open_websockets: usize,
    /// Requests sent to the channel layer.
    pub requests: u64,
    /// Requests and WebSockets turned away because a channel was full.
    pub channel_full: u64,
    /// Requests and WebSockets the application did not answer in time.
    pub timeouts: u64,
    /// Connections given up because the client did not read what it was sent.
    pub slow_clients: u64,
    /// WebSocket frames that could not be sent to the channel layer.
    pub lost_frames: u64,
    /// `websocket.disconnect` messages that could not be sent to the channel layer.
    pub lost_disconnects: u64,
    /// Replies for connections or requests that were gone, or that had overflowed.
    pub discarded_replies: u64,
    /// Replies that broke the message format.
    pub bad_replies: u64,
    /// Failures of the channel layer.
    pub layer_failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    open_connections: AtomicUsize,
    one_less: Notify,
    open_websockets: AtomicUsize,
    requests: AtomicU64,
    channel_full: AtomicU64,
    timeouts: AtomicU64,
    slow_clients: AtomicU64,
    lost_frames: AtomicU64,
    lost_disconnects: AtomicU64,
    discarded_replies: AtomicU64,
    bad_replies: AtomicU64,
    layer_failures: AtomicU64,
}

/// Methods that count one event each.
macro_rules! count {
    ($($method:ident => $field:ident, $metric:ident.$how:ident($($one:literal)?);)*) => {$(
        pub(crate) fn $method(&self) {
            self.$field.fetch_add(1, Ordering::Relaxed);
            metrics::$metric.$how($($one)?);
        }
    )*};
}

impl Counters {
    count! {
        connection_opened => open_connections, SERVER_OPEN_CONNECTIONS.raise();
        websocket_opened => open_websockets, SERVER_OPEN_WEBSOCKETS.raise();
        request_sent => requests, SERVER_REQUESTS.add(1);
        channel_full => channel_full, SERVER_CHANNEL_FULL.add(1);
        timed_out => timeouts, SERVER_TIMEOUTS.add(1);
        slow_client => slow_clients, SERVER_SLOW_CLIENTS.add(1);
        frame_lost => lost_frames, SERVER_LOST_FRAMES.add(1);
        disconnect_lost => lost_disconnects, SERVER_LOST_DISCONNECTS.add(1);
        reply_discarded => discarded_replies, SERVER_DISCARDED_REPLIES.add(1);
        bad_reply => bad_replies, SERVER_BAD_REPLIES.add(1);
        layer_failed => layer_failures, SERVER_LAYER_FAILURES.add(1);
    }

    pub(crate) fn connection_closed(&self) {
        self.open_connections.fetch_sub(1, Ordering::Relaxed);
        metrics::SERVER_OPEN_CONNECTIONS.lower();
        self.one_less.notify_waiters();
    }

    /// Waits until fewer than `limit` connections are open.
    pub(crate) async fn below(&self, limit: usize) {
        loop {
            let one_less = self.one_less.notified();
            if self.open_connections() < limit {
                return;
            }
            one_less.await;
        }
    }

    pub(crate) fn websocket_closed(&self) {
        self.open_websockets.fetch_sub(1, Ordering::Relaxed);
        metrics::SERVER_OPEN_WEBSOCKETS.lower();
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.open_connections.load(Ordering::Relaxed)
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            open_connections: self.open_connections(),
            open_websockets: self.open_websockets.load(Ordering::Relaxed),
            requests: read(&self.requests),
            channel_full: read(&self.channel_full),
            timeouts: read(&self.timeouts),
            slow_clients: read(&self.slow_clients),
            lost_frames: read(&self.lost_frames),
            lost_disconnects: read(&self.lost_disconnects),
            discarded_replies: read(&self.discarded_replies),
            bad_replies: read(&self.bad_replies),
            layer_failures: read(&self.layer_failures),
        }
    }
}
