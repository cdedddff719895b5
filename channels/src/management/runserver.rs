use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use daphne::{Endpoint, ServerBuilder};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::application::Application;
use crate::error::{Error, Result};
use crate::layers::DEFAULT_CHANNEL_LAYER;
use crate::management::address::ServerAddress;
use crate::management::console::Console;
use crate::management::threads::Threads;
use crate::worker::Worker;

/// Connections do not change threads, so the system has to spread the threads over the processors.
/// With as many as there are processors it cannot when anything else runs beside them.
const THREADS_PER_PROCESSOR: usize = 2;

/// How [`runserver`] runs.
#[must_use]
pub struct RunserverOptions {
    address: ServerAddress,
    layer: String,
    workers: bool,
    concurrency: Option<usize>,
    connection_threads: Option<usize>,
    http_timeout: Duration,
    websocket_handshake_timeout: Duration,
    console: bool,
    on_listening: Option<OnListening>,
}

type OnListening = Box<dyn FnOnce(&[SocketAddr]) + Send>;

impl RunserverOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            address: ServerAddress::default(),
            layer: DEFAULT_CHANNEL_LAYER.to_owned(),
            workers: true,
            concurrency: None,
            connection_threads: None,
            http_timeout: Duration::from_secs(60),
            websocket_handshake_timeout: Duration::from_secs(5),
            console: true,
            on_listening: None,
        }
    }

    /// Where to listen. Default: 127.0.0.1, port 8000.
    pub fn address(mut self, address: ServerAddress) -> Self {
        self.address = address;
        self
    }

    /// The alias of the channel layer the server sends to. Default: `default`.
    pub fn layer(mut self, alias: impl Into<String>) -> Self {
        self.layer = alias.into();
        self
    }

    /// Whether to run workers. Without, they have to run in other processes. Default: true.
    pub fn workers(mut self, workers: bool) -> Self {
        self.workers = workers;
        self
    }

    /// How many consumers run at once. Default: as the application or the
    /// [worker](crate::WorkerBuilder::concurrency) says.
    pub fn concurrency(mut self, concurrency: Option<usize>) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// On how many threads connections are served and consumers run. Default: two for each
    /// processor; in any case no more than consumers that may run at once.
    ///
    /// A connection stays on its thread, and its messages are consumed there if a consumer may
    /// still run, so that nothing has to move between processors. In return, a consumer that keeps
    /// its thread busy without awaiting anything holds up the connections of that thread: such
    /// work is for [synchronous consumers](crate::sync) or `tokio::task::spawn_blocking`.
    pub fn connection_threads(mut self, threads: Option<usize>) -> Self {
        self.connection_threads = threads;
        self
    }

    /// How long the application may take for a response. Default: 60 s.
    pub fn http_timeout(mut self, timeout: Duration) -> Self {
        self.http_timeout = timeout;
        self
    }

    /// How long the application may take to accept a WebSocket. Default: 5 s.
    pub fn websocket_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.websocket_handshake_timeout = timeout;
        self
    }

    /// Whether to write the address to standard output, and a line for each request to standard
    /// error. Default: true.
    pub fn console(mut self, console: bool) -> Self {
        self.console = console;
        self
    }

    /// Calls `function` with the addresses once the server listens.
    pub fn on_listening(mut self, function: impl FnOnce(&[SocketAddr]) + Send + 'static) -> Self {
        self.on_listening = Some(Box::new(function));
        self
    }
}

/// Runs a protocol server and workers in one process until `shutdown` is ready: a whole site for
/// development, and for small ones.
///
/// If the application configured no channel layer, messages go through memory, and nothing else
/// is needed. To be stopped, the server ends first, because the workers may still have to answer
/// what it has in hand.
///
/// # Errors
///
/// [`Error::Server`] if the server cannot listen; [`Error::Config`] for options that cannot be
/// used together; and as [`WorkerBuilder::build`](crate::WorkerBuilder::build) and
/// [`Worker::run`].
pub async fn runserver(
    application: &Application,
    mut options: RunserverOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let workers = workers(application, &options)?;
    let threads = Threads::start(threads(&options, &workers))?;
    let server = server(application, &options)?
        .connections_on(threads.handles().iter().cloned())
        .build()?
        .bind()
        .await?;
    let addresses = server.local_addrs();
    if options.console {
        greet(application, &options, &addresses)?;
    }
    if let Some(on_listening) = options.on_listening.take() {
        on_listening(&addresses);
    }
    let stop = CancellationToken::new();
    let work = async {
        let running = workers
            .iter()
            .map(|worker| worker.run_on(threads.handles(), &stop));
        let stopped = join_all(running).await;
        stopped.into_iter().collect::<Result<()>>()
    };
    let serve = async {
        let result = server.run(shutdown).await;
        stop.cancel();
        result
    };
    let (result, stopped) = tokio::join!(serve, work);
    result?;
    stopped
}

/// How many threads to serve on: no more than consumers that may run at once.
fn threads(options: &RunserverOptions, workers: &[Worker]) -> usize {
    let wanted = options
        .connection_threads
        .unwrap_or_else(|| THREADS_PER_PROCESSOR * available_parallelism().map_or(1, usize::from));
    let concurrency = workers.iter().map(Worker::concurrency).min();
    wanted.min(concurrency.unwrap_or(wanted)).max(1)
}

fn workers(application: &Application, options: &RunserverOptions) -> Result<Vec<Worker>> {
    let layer = application.layers().layer(&options.layer)?;
    if !options.workers {
        if layer.is_process_local() {
            return Err(Error::config(
                "--noworker",
                format_args!(
                    "the channel layer {} ({layer}) reaches no further than this process, so \
                     there would be nobody to answer; configure one that workers in other \
                     processes can reach",
                    options.layer,
                ),
            ));
        }
        return Ok(Vec::new());
    }
    let mut aliases: Vec<_> = application.routed_aliases().collect();
    if !aliases.contains(&&*options.layer) {
        aliases.push(&options.layer);
    }
    let workers = aliases.into_iter().map(|alias| {
        let worker = application.worker(alias)?;
        match options.concurrency {
            Some(concurrency) => worker.concurrency(concurrency).build(),
            None => worker.build(),
        }
    });
    workers.collect()
}

fn server(application: &Application, options: &RunserverOptions) -> Result<ServerBuilder> {
    let mut server = application
        .server(&options.layer)?
        .endpoint(Endpoint::tcp(
            options.address.host(),
            options.address.port(),
        ))
        .http_timeout(options.http_timeout)
        .websocket_handshake_timeout(options.websocket_handshake_timeout);
    if options.console {
        match Console::new() {
            Ok(console) => server = server.action_logger(Arc::new(console)),
            Err(error) => tracing::warn!(%error, "requests will not be written to the console"),
        }
    }
    Ok(server)
}

fn greet(
    application: &Application,
    options: &RunserverOptions,
    addresses: &[SocketAddr],
) -> Result<()> {
    let port = addresses
        .first()
        .map_or(options.address.port(), SocketAddr::port);
    println!(
        "Starting Channels development server at http://{}/\n\
         Channel layer {} ({})\n\
         Quit the server with CONTROL-C.",
        options.address.with_port(port),
        options.layer,
        application.layers().layer(&options.layer)?,
    );
    Ok(())
}

impl Default for RunserverOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RunserverOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunserverOptions")
            .field("address", &self.address)
            .field("layer", &self.layer)
            .field("workers", &self.workers)
            .field("concurrency", &self.concurrency)
            .field("connection_threads", &self.connection_threads)
            .field("http_timeout", &self.http_timeout)
            .field(
                "websocket_handshake_timeout",
                &self.websocket_handshake_timeout,
            )
            .field("console", &self.console)
            .finish_non_exhaustive()
    }
}
