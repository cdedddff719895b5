//! One connection: what its parts share, and the task that drives it.

mod driver;
mod farewell;
mod framing;
mod watch;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use asgiref::ChannelName;
use asgiref::protocol::Address;
use tokio::time::Instant;

use crate::replies::{Addressee, Mailbox, Room};
use crate::shared::Shared;
use crate::websocket::Accepted;

pub(crate) use driver::drive;
pub(crate) use watch::Watch;

/// What the socket, the service and the timer of a connection share.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    /// The remote end, where there is one.
    pub(crate) client: Option<Address>,
    /// The local end, where there is one.
    pub(crate) server: Option<Address>,
    /// Whether the peer may say who the client is.
    pub(crate) is_trusted_proxy: bool,
    pub(crate) mailbox: Mailbox,
    pub(crate) watch: Watch,
    number: u64,
    /// How many requests have begun.
    requests: AtomicU64,
    is_websocket: AtomicBool,
    /// The WebSocket this connection is about to become.
    accepted: Mutex<Option<Box<Accepted>>>,
}

impl Connection {
    /// Enters a new connection into the server's table.
    pub(crate) fn enter(
        shared: &Arc<Shared>,
        client: Option<Address>,
        server: Option<Address>,
        is_trusted_proxy: bool,
    ) -> Entered {
        let deadline = Instant::now() + shared.options.keep_alive_timeout;
        shared.counters.connection_opened();
        Entered(shared.replies.enter(|number| Self {
            shared: Arc::clone(shared),
            client,
            server,
            is_trusted_proxy,
            mailbox: Mailbox::default(),
            watch: Watch::new(shared.ticks(deadline)),
            number,
            requests: AtomicU64::new(0),
            is_websocket: AtomicBool::new(false),
            accepted: Mutex::new(None),
        }))
    }

    /// Begins a request at `now`, to be answered within `limit`: opens the mailbox for replies to
    /// it and says where they come.
    pub(crate) fn begin(&self, now: Instant, limit: Option<Duration>) -> ChannelName {
        let request = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.watch.busy();
        self.expect_within(now, limit);
        self.mailbox.open(request);
        self.shared.replies.name(self.number, request)
    }

    /// Ends the request: what still comes for it is discarded.
    pub(crate) fn end(&self) {
        self.mailbox.close();
        let deadline = Instant::now() + self.shared.options.keep_alive_timeout;
        self.watch.idle(self.shared.ticks(deadline));
    }

    /// The next step of the request must come within `limit` of `now`.
    pub(crate) fn expect_within(&self, now: Instant, limit: Option<Duration>) {
        self.watch
            .expect_by(limit.map(|limit| self.shared.ticks(now + limit)));
    }

    /// The next step of the request must come before `deadline`.
    pub(crate) fn expect_at(&self, deadline: Instant) {
        self.watch.expect_by(Some(self.shared.ticks(deadline)));
    }

    /// The connection becomes a WebSocket once the response is written.
    pub(crate) fn upgrade(&self, accepted: Box<Accepted>) {
        *self.lock_accepted() = Some(accepted);
        self.is_websocket.store(true, Ordering::Relaxed);
    }

    fn take_accepted(&self) -> Option<Box<Accepted>> {
        self.lock_accepted().take()
    }

    fn lock_accepted(&self) -> std::sync::MutexGuard<'_, Option<Box<Accepted>>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Addressee for Connection {
    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    fn room(&self) -> Room<'_> {
        let shared = &self.shared;
        if self.is_websocket.load(Ordering::Relaxed) {
            Room {
                memory: shared.options.websocket_queue,
                disk: None,
            }
        } else {
            Room {
                memory: shared.options.response_queue,
                disk: shared.spool.as_ref(),
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("client", &self.client)
            .field("server", &self.server)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// A connection's place in the table; dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Entered(Arc<Connection>);

impl Entered {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.mailbox.close();
        self.0.shared.replies.leave(self.0.number);
        self.0.shared.counters.connection_closed();
    }
}
