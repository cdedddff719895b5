use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use asgiref::Backoff;
use lapin::tcp::OwnedTLSConfig;
use lapin::{Connection, ConnectionProperties};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Address, ConnectionOptions, Session};
use crate::error::{Error, Result};
use crate::topology::Topology;

/// First and longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The broker, or the nodes of a cluster: keeps one session alive as long as there are users.
pub(crate) struct Broker {
    addresses: Vec<Address>,
    options: ConnectionOptions,
    topology: Topology,
    on_connect: OnceLock<OnConnect>,
    state: Mutex<State>,
    /// Counts the changes of the state.
    changed: watch::Sender<u64>,
}

/// What is done whenever a session begins.
pub(crate) type OnConnect = Box<dyn Fn(&Arc<Session>) + Send + Sync>;

#[derive(Debug, Default)]
struct State {
    session: Option<Arc<Session>>,
    /// Whether a task sees to it that there is one.
    supervised: bool,
    closed: bool,
    /// Why there is no session.
    failure: Option<Error>,
}

impl Broker {
    pub(crate) fn new(
        addresses: Vec<Address>,
        options: ConnectionOptions,
        topology: Topology,
    ) -> Self {
        Self {
            addresses,
            options,
            topology,
            on_connect: OnceLock::new(),
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// Says what is done whenever a session begins.
    pub(crate) fn on_connect(&self, hook: OnConnect) {
        // Only said once, when the layer is made.
        let _ = self.on_connect.set(hook);
    }

    pub(crate) fn options(&self) -> &ConnectionOptions {
        &self.options
    }

    /// The names of all nodes, for texts.
    pub(crate) fn names(&self) -> String {
        let names: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        names.join(", ")
    }

    /// A session that is alive; waits for one as long as the connect timeout.
    pub(crate) async fn session(self: &Arc<Self>) -> Result<Arc<Session>> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(session) = self.current() {
                return Ok(session);
            }
            if timeout_at(deadline, changed.changed()).await.is_err() {
                let failure = self.lock().failure.clone();
                let limit = self.options.connect_timeout;
                let name = self.names().into();
                return Err(failure.unwrap_or_else(|| Error::timeout(&name, limit)));
            }
        }
    }

    /// The session, if there is one; otherwise has one made.
    pub(crate) fn current(self: &Arc<Self>) -> Option<Arc<Session>> {
        let mut state = self.lock();
        if let Some(session) = &state.session
            && session.is_alive()
        {
            return Some(Arc::clone(session));
        }
        if !state.supervised && !state.closed {
            state.supervised = true;
            let supervisor = Supervisor(Arc::clone(self));
            tokio::spawn(supervisor.run());
        }
        None
    }

    /// Ends the session, and makes no other.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if let Some(session) = &state.session {
            session.give_up();
        }
        drop(state);
        self.tell();
    }

    async fn begin(&self) -> Result<Arc<Session>> {
        let session = Arc::new(self.connect().await?);
        self.topology.prepare(&session).await?;
        Ok(session)
    }

    async fn connect(&self) -> Result<Session> {
        let mut failure = None;
        let first = rand::random_range(0..self.addresses.len());
        let (before, after) = self.addresses.split_at(first);
        for address in after.iter().chain(before) {
            let name = address.name();
            let limit = self.options.connect_timeout;
            let connecting = async {
                let (talk, listen) = tokio::try_join!(
                    self.connect_to(address, "talk"),
                    self.connect_to(address, "listen")
                )?;
                Ok(Session::new(
                    Arc::clone(&name),
                    talk,
                    listen,
                    self.options.response_timeout,
                ))
            };
            match timeout(limit, connecting).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) => failure = Some(Error::connect(&name, error)),
                Err(_) => failure = Some(Error::timeout(&name, limit)),
            }
        }
        let name = self.names().into();
        Err(failure.unwrap_or_else(|| Error::protocol(&name, "there is no address")))
    }

    async fn connect_to(
        &self,
        address: &Address,
        purpose: &str,
    ) -> Result<Connection, lapin::Error> {
        let name = format!("asgi-rabbitmq {} ({purpose})", std::process::id());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain: self.certificates().await?,
        };
        let uri = address.uri(&self.options);
        let runtime = lapin::runtime::default_runtime()?;
        Connection::connect_uri_with_config(uri, properties, tls, runtime).await
    }

    /// The certificates that are trusted beside the system's, in PEM form.
    async fn certificates(&self) -> Result<Option<String>, lapin::Error> {
        let Some(file) = self.options.tls_ca.clone() else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file)).await;
        let text = read.map_err(std::io::Error::other).flatten()?;
        Ok(Some(text))
    }

    fn tell(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("addresses", &self.addresses)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The task that keeps the session alive. When it goes with its runtime, another is started by
/// whoever needs a session next.
struct Supervisor(Arc<Broker>);

impl Supervisor {
    async fn run(self) {
        let broker = &self.0;
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            if broker.lock().closed {
                return;
            }
            match broker.begin().await {
                Ok(session) => {
                    {
                        let mut state = broker.lock();
                        state.session = Some(Arc::clone(&session));
                        state.failure = None;
                    }
                    backoff.reset();
                    tracing::debug!(broker = %session.broker(), "connected");
                    broker.tell();
                    if let Some(hook) = broker.on_connect.get() {
                        hook(&session);
                    }
                    session.watch().await;
                    broker.lock().session = None;
                    session.close().await;
                    if !broker.lock().closed {
                        tracing::warn!(broker = %session.broker(), "the connection was lost");
                    }
                }
                Err(error) => {
                    let before = broker.lock().failure.replace(error.clone());
                    let error = &error as &dyn std::error::Error;
                    if before.is_none() {
                        tracing::warn!(error, "cannot connect to the broker; trying again");
                    } else {
                        tracing::debug!(error, "cannot connect to the broker");
                    }
                }
            }
            sleep(backoff.next_pause()).await;
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.supervised = false;
        state.session = None;
        drop(state);
        self.0.tell();
    }
}
