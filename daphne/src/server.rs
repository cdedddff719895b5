use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use asgiref::ChannelLayer;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::access_log::ActionLogger;
use crate::builder::ServerBuilder;
use crate::connection::{self, Connection};
use crate::counters::Statistics;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::listener::{Accepted, BoundAddr, Listener};
use crate::options::Options;
use crate::replies::read_replies;
use crate::runtimes::Runtimes;
use crate::shared::{Shared, Stage};

/// How long to wait before accepting again when the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections that are cut off may take to notice.
const CUT_OFF: Duration = Duration::from_secs(1);

/// An HTTP and WebSocket protocol server for one channel layer.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use asgiref::InMemoryChannelLayer;
/// use daphne::{Endpoint, Server};
///
/// # async fn run() -> daphne::Result<()> {
/// let layer = Arc::new(InMemoryChannelLayer::new());
/// let server = Server::builder(layer)
///     .endpoint(Endpoint::tcp("127.0.0.1", 8000))
///     .build()?;
/// server.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    sources: Vec<Source>,
    shared: Arc<Shared>,
    runtimes: Arc<Runtimes>,
}

/// Something to listen on.
#[derive(Debug)]
pub(crate) enum Source {
    Endpoint(Endpoint),
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Server {
    /// A server for `layer`.
    pub fn builder(layer: Arc<dyn ChannelLayer>) -> ServerBuilder {
        ServerBuilder::new(layer)
    }

    pub(crate) fn new(
        layer: Arc<dyn ChannelLayer>,
        sources: Vec<Source>,
        options: Options,
        actions: Option<Arc<dyn ActionLogger>>,
        runtimes: Vec<Handle>,
    ) -> Self {
        Self {
            sources,
            shared: Arc::new(Shared::new(layer, options, actions)),
            runtimes: Arc::new(Runtimes::new(runtimes)),
        }
    }

    /// Opens the endpoints. Connections are accepted from now on, and served once the server
    /// runs.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`], naming the endpoint, or [`Error::Listener`]; what was opened before is
    /// closed.
    pub async fn bind(self) -> Result<BoundServer> {
        let mut listeners = Vec::with_capacity(self.sources.len());
        for source in self.sources {
            match source {
                Source::Endpoint(endpoint) => match Listener::bind(&endpoint).await {
                    Ok(bound) => listeners.extend(bound),
                    Err(source) => return Err(Error::Bind { endpoint, source }),
                },
                Source::Tcp(listener) => listeners.push(
                    Listener::from_tcp(listener).map_err(|source| Error::Listener { source })?,
                ),
                Source::Unix(listener) => listeners.push(
                    Listener::from_unix(listener).map_err(|source| Error::Listener { source })?,
                ),
            }
        }
        Ok(BoundServer {
            listeners,
            shared: self.shared,
            runtimes: self.runtimes,
        })
    }

    /// Opens the endpoints and serves until `shutdown` is ready; see [`BoundServer::run`].
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        self.bind().await?.run(shutdown).await
    }
}

/// A [`Server`] whose endpoints are open.
#[derive(Debug)]
pub struct BoundServer {
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    runtimes: Arc<Runtimes>,
}

impl BoundServer {
    /// Where the server listens, in the order of its endpoints.
    #[must_use]
    pub fn addresses(&self) -> Vec<BoundAddr> {
        let addresses = self.listeners.iter().map(Listener::address);
        addresses.cloned().collect()
    }

    /// The IP addresses and ports the server listens on.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let addresses = self.listeners.iter().map(Listener::address);
        addresses.filter_map(BoundAddr::tcp).collect()
    }

    /// What the server has done and holds, at any time.
    #[must_use]
    pub fn statistics(&self) -> ServerStatistics {
        ServerStatistics {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Serves until `shutdown` is ready, then stops:
    ///
    /// 1. no more connections are accepted;
    /// 2. requests in hand are finished, WebSockets are closed with code 1001 and the application
    ///    is told of their end;
    /// 3. what is left after the shutdown timeout is cut off.
    ///
    /// Dropping the future cuts everything off at once.
    ///
    /// # Errors
    ///
    /// None as yet: what goes wrong on a connection, or with the channel layer, does not end the
    /// server.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let Self {
            listeners,
            shared,
            runtimes,
        } = self;
        let closing = CancellationToken::new();
        let _cut_off = CutOff(&shared);
        // Aborted when the set is dropped.
        let mut tasks = JoinSet::new();
        let replies = std::slice::from_ref(shared.replies.channel());
        let attachment = shared.layer.attach(replies, Arc::clone(&shared) as _);
        if attachment.is_none() {
            tasks.spawn(read_replies(Arc::clone(&shared)));
        }
        for listener in listeners {
            info!("Listening on {}", listener.address());
            let (shared, closing) = (Arc::clone(&shared), closing.clone());
            let runtimes = Arc::clone(&runtimes);
            tasks.spawn(async move {
                tokio::select! {
                    () = accept_all(&listener, &shared, &runtimes) => {}
                    () = closing.cancelled() => {}
                }
            });
        }

        shutdown.await;
        info!(
            connections = shared.counters.open_connections(),
            "stopping: no more connections are accepted"
        );
        closing.cancel();
        shared.enter(Stage::Draining);
        shared.tasks.close();
        if timeout(shared.options.shutdown_timeout, shared.tasks.wait())
            .await
            .is_err()
        {
            warn!(
                connections = shared.counters.open_connections(),
                "the time to stop is over: what is left is cut off"
            );
            shared.enter(Stage::Stopping);
            // Whoever does not notice in time is dropped with the runtime.
            let _ = timeout(CUT_OFF, shared.tasks.wait()).await;
        }
        info!("stopped");
        Ok(())
    }
}

/// A look at a running server, from outside; see [`BoundServer::statistics`].
#[derive(Clone, Debug)]
pub struct ServerStatistics {
    shared: Arc<Shared>,
}

impl ServerStatistics {
    /// The figures of this moment.
    #[must_use]
    pub fn now(&self) -> Statistics {
        self.shared.counters.statistics()
    }
}

/// Cuts off what a server still holds when its future goes.
struct CutOff<'a>(&'a Shared);

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        self.0.enter(Stage::Stopping);
    }
}

/// Accepts connections, for ever.
async fn accept_all(listener: &Listener, shared: &Arc<Shared>, runtimes: &Runtimes) {
    let mut complained = false;
    loop {
        if let Some(limit) = shared.options.max_connections {
            shared.counters.below(limit).await;
        }
        match listener.accept().await {
            Ok(accepted) => {
                complained = false;
                serve(accepted, shared, runtimes);
            }
            // The client has gone before it was accepted.
            Err(error) if is_about_one_connection(&error) => {
                debug!(%error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                if !complained {
                    complained = true;
                    warn!(%error, "cannot accept connections on {}", listener.address());
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn serve(accepted: Accepted, shared: &Arc<Shared>, runtimes: &Runtimes) {
    let Accepted {
        socket,
        peer,
        client,
        server,
    } = accepted;
    let options = &shared.options;
    let is_trusted_proxy = options.proxy_headers && options.trusted_proxies.contain(peer);
    let entered = Connection::enter(shared, client, server, is_trusted_proxy);
    let Some(runtime) = runtimes.next() else {
        shared.tasks.spawn(connection::drive(entered, socket));
        return;
    };
    let adopted = {
        let _context = runtime.enter();
        socket.adopt()
    };
    match adopted {
        Ok(socket) => {
            let drive = connection::drive(entered, socket);
            shared.tasks.spawn_on(drive, runtime);
        }
        Err(error) => warn!(%error, "cannot serve a connection on its runtime"),
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
