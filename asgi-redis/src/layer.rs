//! The ASGI API: send, receive, new channel.

use std::fmt;
use std::sync::Arc;

use asgiref::{
    ChannelLayer, ChannelName, ChannelPattern, Error, Flush, Groups, Message, Result, Statistics,
};
use async_trait::async_trait;

use crate::connection::{Command, Reply};
use crate::counters::Figures;
use crate::keys::digest;
use crate::receive::Hub;
use crate::shard::{Dead, Shards};

/// A channel layer over one Redis server or several.
///
/// Provides groups, flush and statistics. A clone is another handle to the same layer. Nothing is
/// connected until it is needed, so that a program starts, and waits, while a server is away.
///
/// ```no_run
/// use asgi_redis::RedisChannelLayer;
/// use asgiref::{ChannelLayer as _, ChannelName, message};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> asgiref::Result<()> {
/// let layer = RedisChannelLayer::builder().host("redis://localhost:6379/0").build()?;
/// let thumbnails = ChannelName::new("thumbnails")?;
/// layer.send(&thumbnails, message! { "picture" => 42 }).await?;
/// let (_, message) = layer.receive(&[thumbnails]).await?;
/// assert_eq!(message.int("picture")?, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisChannelLayer {
    pub(crate) inner: Arc<Inner>,
}

/// What all handles share.
pub(crate) struct Inner {
    pub(crate) shards: Arc<Shards>,
    pub(crate) hub: Arc<Hub>,
}

impl RedisChannelLayer {
    pub(crate) fn new(shards: Shards) -> Self {
        let shards = Arc::new(shards);
        Self {
            inner: Arc::new(Inner {
                hub: Arc::new(Hub::new(Arc::clone(&shards))),
                shards,
            }),
        }
    }

    /// What has gone wrong so far, as far as this process has seen it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.inner.shards.counters.figures()
    }

    /// Waits until a server is found to have been emptied: messages, and memberships in groups,
    /// that were there are gone. A protocol server may add its connections to their groups again.
    ///
    /// This is noticed while the layer receives, at the latest 12 seconds after the server is
    /// there again. A flush through this layer does not count.
    pub async fn data_lost(&self) {
        // Fails only when the sender is dropped, which this handle prevents.
        let _ = self.shards().counters.watch_data_lost().changed().await;
    }

    pub(crate) fn shards(&self) -> &Arc<Shards> {
        &self.inner.shards
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.hub.close();
    }
}

#[async_trait]
impl ChannelLayer for RedisChannelLayer {
    // ---- ASGI API

    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        let shards = self.shards();
        let body = shards.codec.encode_for(channel, &message)?;
        let mut targets = shards.targets(channel, shards.ring.target(channel));
        while let Some(shard) = targets.next() {
            let is_last = targets.len() == 0;
            if send_to(shards, shard, channel, &body, is_last).await? {
                return Ok(());
            }
        }
        Err(Error::ChannelFull {
            channel: channel.to_non_local(),
        })
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        check_receivable(channels)?;
        if channels.is_empty() {
            return std::future::pending().await;
        }
        Ok(self.inner.hub.receive(channels).await?)
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        check_receivable(channels)?;
        Ok(self.inner.hub.try_receive(channels).await?)
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        let shards = self.shards();
        loop {
            let name = pattern.generate();
            let shard = shards.get(shards.ring.target(&name));
            let key = shard.keys.queue(name.non_local());
            let command = Command::new("EXISTS").arg(key);
            if shard.server.call(&Arc::new(command)).await?.as_int() == Some(0) {
                return Ok(name);
            }
        }
    }

    async fn settle(&self) {
        self.inner.hub.settle().await;
    }

    // ---- Extensions

    fn as_groups(&self) -> Option<&dyn Groups> {
        Some(self)
    }

    fn as_flush(&self) -> Option<&dyn Flush> {
        Some(self)
    }

    fn as_statistics(&self) -> Option<&dyn Statistics> {
        Some(self)
    }
}

/// Puts a message on a channel at one server; returns whether there was room, and has it counted
/// if there was not and no other server is left.
async fn send_to(
    shards: &Arc<Shards>,
    index: usize,
    channel: &ChannelName,
    body: &[u8],
    is_last: bool,
) -> Result<bool, crate::Error> {
    let shard = shards.get(index);
    let queue = channel.non_local();
    let arguments = Command::arguments(body.len() + 192)
        .arg(body)
        .int(shards.capacity_of(channel, index))
        .arg(shards.unique.tail(&digest(channel.as_str()), false))
        .arg(shard.keys.statistics(queue))
        .int(u8::from(is_last));
    let list = shard.keys.queue(queue);
    let reply = shard.sends.run(&shard.server, list, arguments).await?;
    let misunderstood =
        || crate::Error::protocol(shard.server.name(), "the send script's answer is not known");
    let [sent, dead] = reply
        .into_array()
        .and_then(|answer| <[Reply; 2]>::try_from(answer).ok())
        .ok_or_else(misunderstood)?;
    let dead = read_dead(queue, dead).ok_or_else(misunderstood)?;
    if !dead.is_empty() {
        shards.expire_later(dead);
    }
    Ok(sent.as_int() == Some(1))
}

/// The expired messages of one queue that a script found.
pub(crate) fn read_dead(queue: &str, reply: Reply) -> Option<Vec<Dead>> {
    let keys = reply.into_array()?.into_iter();
    keys.map(|key| {
        Some(Dead {
            queue: queue.to_owned(),
            key: key.into_bytes()?,
        })
    })
    .collect()
}

impl fmt::Display for RedisChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.shards.name)
    }
}

impl fmt::Debug for RedisChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisChannelLayer")
            .field("servers", &self.inner.shards.name)
            .field("config", &self.inner.shards.config)
            .finish_non_exhaustive()
    }
}

/// Makes a layer whose field `layer` is a [`RedisChannelLayer`] behave as that.
macro_rules! forward_to_layer {
    ($type:ident) => {
        impl $type {
            /// What has gone wrong so far, as far as this process has seen it.
            #[must_use]
            pub fn figures(&self) -> $crate::Figures {
                self.layer.figures()
            }

            /// As [`RedisChannelLayer::data_lost`]($crate::RedisChannelLayer::data_lost).
            pub async fn data_lost(&self) {
                self.layer.data_lost().await;
            }
        }

        ::asgiref::forward_channel_layer!($type, layer);
    };
}

pub(crate) use forward_to_layer;

fn check_receivable(channels: &[ChannelName]) -> Result<()> {
    channels.iter().try_for_each(ChannelName::check_receivable)
}
