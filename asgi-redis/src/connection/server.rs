//! One of the layer's servers: where it is found, and the connection that is restored when it was
//! lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::address::Address;
use super::line::Line;
use super::options::ConnectionOptions;
use super::pipe::{Pipe, Unsent, Work};
use super::resp::{Command, Reply};
use super::stream;
use crate::counters::Counters;
use crate::error::{Error, Result};

/// The first and the longest pause between attempts to connect; half of each is random.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Finds out where a server is.
#[async_trait::async_trait]
pub(crate) trait Resolver: std::fmt::Debug + Send + Sync {
    /// What the server is called in errors and logs.
    fn name(&self) -> Arc<str>;

    /// Where it is now.
    async fn resolve(&self, options: &ConnectionOptions) -> Result<Address>;
}

#[async_trait::async_trait]
impl Resolver for Address {
    fn name(&self) -> Arc<str> {
        self.to_string().into()
    }

    async fn resolve(&self, _options: &ConnectionOptions) -> Result<Self> {
        Ok(self.clone())
    }
}

/// A server, and the connection to it that all operations share.
#[derive(Debug)]
pub(crate) struct Server {
    name: Arc<str>,
    resolver: Box<dyn Resolver>,
    options: ConnectionOptions,
    current: Mutex<Option<Pipe>>,
    /// Held by the one who connects.
    connecting: tokio::sync::Mutex<()>,
    trouble: Mutex<Trouble>,
}

/// What failed since there was a connection last.
#[derive(Debug, Default)]
struct Trouble {
    attempts: u32,
    retry_at: Option<Instant>,
    error: Option<Error>,
}

impl Server {
    pub(crate) fn new(resolver: Box<dyn Resolver>, options: ConnectionOptions) -> Self {
        Self {
            name: resolver.name(),
            resolver,
            options,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn options(&self) -> &ConnectionOptions {
        &self.options
    }

    /// Has a command executed, at most once.
    ///
    /// It is only sent again if it certainly was not executed: because it never left, or because
    /// the server said that it cannot do anything at the moment.
    pub(crate) async fn call(&self, command: &Arc<Command>) -> Result<Reply> {
        self.work(&Work::Command(Arc::clone(command))).await
    }

    /// The same for what may be done together with others' work.
    pub(crate) async fn work(&self, work: &Work) -> Result<Reply> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let pipe = self.pipe().await?;
            let error = match pipe.call(work).await {
                Err(Unsent) => continue,
                Ok(Err(error)) if error.is_refused_for_now() => error,
                Ok(answer) => return answer,
            };
            self.refused(&pipe, &error);
            if Instant::now() + pause > deadline {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE / 4);
        }
    }

    /// Draws the conclusions from a refusal that has to do with the server, not the command.
    fn refused(&self, pipe: &Pipe, error: &Error) {
        if error.is_wrong_server() {
            let mut current = lock(&self.current);
            if current.as_ref().is_some_and(|shared| shared.is_same(pipe)) {
                *current = None;
            }
        }
    }

    /// The shared connection; waits until there is one, but not longer than the connect timeout.
    pub(crate) async fn pipe(&self) -> Result<Pipe> {
        if let Some(pipe) = self.live() {
            return Ok(pipe);
        }
        let limit = self.options.connect_timeout;
        match timeout(limit, self.connect()).await {
            Ok(pipe) => Ok(pipe),
            Err(_) => Err(self.last_error()),
        }
    }

    /// A connection of its own.
    pub(crate) async fn open(&self) -> Result<Line> {
        let limit = self.options.connect_timeout;
        let attempt = async {
            let address = self.resolver.resolve(&self.options).await?;
            connect(&address, &self.options, &self.name).await
        };
        timeout(limit, attempt).await.unwrap_or_else(|_| {
            Err(Error::Timeout {
                server: Arc::clone(&self.name),
                limit,
            })
        })
    }

    async fn connect(&self) -> Pipe {
        let _connecting = self.connecting.lock().await;
        loop {
            if let Some(pipe) = self.live() {
                return pipe;
            }
            let retry_at = lock(&self.trouble).retry_at;
            if let Some(retry_at) = retry_at {
                sleep_until(retry_at).await;
            }
            match self.open().await {
                Ok(line) => {
                    let pipe = Pipe::start(line.into_stream(), &self.name, &self.options);
                    if lock(&self.current).replace(pipe.clone()).is_some() {
                        Counters::reconnected();
                    }
                    let trouble = std::mem::take(&mut *lock(&self.trouble));
                    if trouble.attempts > 0 {
                        tracing::info!(
                            server = %self.name,
                            attempts = trouble.attempts + 1,
                            "connected to Redis again",
                        );
                    }
                    return pipe;
                }
                Err(error) => self.failed(error),
            }
        }
    }

    fn failed(&self, error: Error) {
        let mut trouble = lock(&self.trouble);
        if trouble.attempts == 0 {
            tracing::warn!(
                server = %self.name,
                error = &error as &dyn std::error::Error,
                "cannot connect to Redis; trying again",
            );
        }
        trouble.retry_at = Some(Instant::now() + jittered_pause(trouble.attempts));
        trouble.attempts = trouble.attempts.saturating_add(1);
        trouble.error = Some(error);
    }

    fn last_error(&self) -> Error {
        let error = lock(&self.trouble).error.clone();
        error.unwrap_or_else(|| Error::Timeout {
            server: Arc::clone(&self.name),
            limit: self.options.connect_timeout,
        })
    }

    fn live(&self) -> Option<Pipe> {
        let current = lock(&self.current);
        current.as_ref().filter(|pipe| pipe.is_alive()).cloned()
    }
}

/// How long to wait after so many failures: half of it is random, so that not all processes come
/// back at the same moment.
pub(crate) fn jittered_pause(failures: u32) -> Duration {
    let pause = FIRST_PAUSE
        .saturating_mul(1 << failures.min(16))
        .min(LONGEST_PAUSE);
    pause / 2 + rand::rng().random_range(Duration::ZERO..=pause / 2)
}

/// Opens a connection and introduces the layer.
pub(crate) async fn connect(
    address: &Address,
    options: &ConnectionOptions,
    name: &Arc<str>,
) -> Result<Line> {
    let stream = stream::open(address, options)
        .await
        .map_err(|source| Error::connect(name, source))?;
    let mut line = Line::new(stream, name, options);
    let mut commands = Vec::new();
    if let Some(password) = &address.password {
        let command = Command::new("AUTH");
        let command = match &address.username {
            Some(username) => command.arg(username),
            None => command,
        };
        commands.push(command.arg(password));
    }
    if address.database > 0 {
        commands.push(Command::new("SELECT").int(address.database));
    }
    if commands.is_empty() {
        // Shows that it is a server, and one that lets us in.
        commands.push(Command::new("PING"));
    }
    for command in commands {
        match line.call(&command).await {
            Ok(_) => {}
            // It is there, and says so when it is asked to do something.
            Err(error) if error.code() == Some("LOADING") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
