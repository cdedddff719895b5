//! One connection with one user: commands go out and answers come back without a task in between.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::options::ConnectionOptions;
use super::resp::{self, Command, Reply};
use super::stream::Stream;
use crate::error::{Error, Result};

/// How much is read at once, in bytes.
const READ: usize = 16 << 10;

/// A connection for one command at a time.
pub(crate) struct Line {
    stream: Box<dyn Stream>,
    server: Arc<str>,
    unread: BytesMut,
    unwritten: BytesMut,
    /// Whether an answer may be on its way that nobody waits for any more.
    broken: bool,
    last_use: Instant,
    response_timeout: Duration,
    keepalive: Duration,
}

impl Line {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        server: &Arc<str>,
        options: &ConnectionOptions,
    ) -> Self {
        Self {
            stream,
            server: Arc::clone(server),
            unread: BytesMut::new(),
            unwritten: BytesMut::new(),
            broken: false,
            last_use: Instant::now(),
            response_timeout: options.response_timeout,
            keepalive: options.keepalive,
        }
    }

    /// What remains when all answers have come.
    pub(super) fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }

    /// Checks a connection that was silent for so long that it may be dead.
    pub(crate) async fn check(&mut self) -> Result<()> {
        if self.last_use.elapsed() >= self.keepalive {
            self.call(&Command::new("PING")).await?;
        }
        Ok(())
    }

    /// Sends a command and waits for the answer.
    pub(crate) async fn call(&mut self, command: &Command) -> Result<Reply> {
        self.call_within(command, self.response_timeout).await
    }

    /// The same with another limit for the answer. After anything but an answer the connection
    /// is of no use any more; so it is if the future is dropped.
    pub(crate) async fn call_within(
        &mut self,
        command: &Command,
        limit: Duration,
    ) -> Result<Reply> {
        let [reply] = self.call_all_within([command], limit).await?;
        reply
    }

    /// The same for several commands, which go out together.
    pub(crate) async fn call_all_within<const N: usize>(
        &mut self,
        commands: [&Command; N],
        limit: Duration,
    ) -> Result<[Result<Reply>; N]> {
        if self.broken {
            return Err(self.lost());
        }
        self.broken = true;
        let answers = timeout(limit, self.exchange(commands)).await;
        let replies = answers.map_err(|_| Error::Timeout {
            server: Arc::clone(&self.server),
            limit,
        })??;
        self.broken = false;
        self.last_use = Instant::now();
        Ok(replies.map(|reply| reply.or_refusal(&self.server)))
    }

    async fn exchange<const N: usize>(&mut self, commands: [&Command; N]) -> Result<[Reply; N]> {
        self.unwritten.clear();
        for command in commands {
            command.write(&mut self.unwritten);
        }
        let mut stream = Pin::new(&mut self.stream);
        if stream.write_all(&self.unwritten).await.is_err() || stream.flush().await.is_err() {
            return Err(self.lost());
        }
        let mut replies = [const { Reply::Nil }; N];
        for reply in &mut replies {
            *reply = self.read().await?;
        }
        Ok(replies)
    }

    async fn read(&mut self) -> Result<Reply> {
        loop {
            let reply = resp::read(&mut self.unread)
                .map_err(|reason| Error::protocol(&self.server, reason))?;
            if let Some(reply) = reply {
                return Ok(reply);
            }
            self.unread.reserve(READ);
            match self.stream.read_buf(&mut self.unread).await {
                Ok(read) if read > 0 => {}
                _ => return Err(self.lost()),
            }
        }
    }

    fn lost(&self) -> Error {
        Error::Lost {
            server: Arc::clone(&self.server),
        }
    }
}
