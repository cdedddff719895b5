//! One connection that only listens: to what a server publishes on one channel.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::io::AsyncReadExt as _;

use super::resp::{self, Command, Reply};
use super::server::Server;
use super::stream::Stream;
use crate::error::{Error, Result};

/// How much is read at once, in bytes.
const READ: usize = 16 << 10;

/// A subscription.
pub(crate) struct Ear {
    stream: Box<dyn Stream>,
    server: Arc<str>,
    unread: BytesMut,
}

impl Ear {
    /// Connects, and listens to `channel` from now on.
    pub(crate) async fn open(server: &Server, channel: &str) -> Result<Self> {
        let mut line = server.open().await?;
        line.call(&Command::new("SUBSCRIBE").arg(channel)).await?;
        Ok(Self {
            stream: line.into_stream(),
            server: Arc::clone(server.name()),
            unread: BytesMut::new(),
        })
    }

    /// Waits for what is published next. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Bytes> {
        loop {
            if let Some(heard) = self.parse()? {
                return Ok(heard);
            }
            self.unread.reserve(READ);
            match self.stream.read_buf(&mut self.unread).await {
                Ok(read) if read > 0 => {}
                _ => {
                    return Err(Error::Lost {
                        server: Arc::clone(&self.server),
                    });
                }
            }
        }
    }

    /// What has come already, if anything has.
    pub(crate) fn next_ready(&mut self) -> Option<Bytes> {
        self.next().now_or_never()?.ok()
    }

    fn parse(&mut self) -> Result<Option<Bytes>> {
        let misunderstood = |reason| Error::protocol(&self.server, reason);
        let Some(reply) = resp::read(&mut self.unread).map_err(misunderstood)? else {
            return Ok(None);
        };
        let heard = reply.into_array().and_then(|mut parts| parts.pop());
        match heard.and_then(Reply::into_bytes) {
            Some(text) => Ok(Some(text)),
            None => Err(misunderstood("what was published is not text")),
        }
    }
}
