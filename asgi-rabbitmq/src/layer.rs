//! The ASGI API: send, receive, new channel.

use std::fmt;
use std::sync::Arc;

use asgiref::{
    ChannelLayer, ChannelName, ChannelPattern, DroppedDeliveries, Error, Flush, Groups, Message,
    Result, Statistics,
};
use async_trait::async_trait;

use crate::connection::Side;
use crate::counters::Figures;
use crate::dead_letters::DeadLetters;
use crate::groups::{Logs, Readers};
use crate::news::Ear;
use crate::outbox::{Outbox, Parcel};
use crate::receive::Hub;
use crate::site::Site;

/// A channel layer over a RabbitMQ broker or a cluster of them.
///
/// Provides groups, flush and statistics. A clone is another handle to the same layer. Nothing is
/// connected until it is needed, so that a program starts, and waits, while the broker is away.
///
/// ```no_run
/// use asgi_rabbitmq::RabbitmqChannelLayer;
/// use asgiref::{ChannelLayer as _, ChannelName, message};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> asgiref::Result<()> {
/// let layer = RabbitmqChannelLayer::builder().url("amqp://localhost").build()?;
/// let thumbnails = ChannelName::new("thumbnails")?;
/// layer.send(&thumbnails, message! { "picture" => 42 }).await?;
/// let (_, message) = layer.receive(&[thumbnails]).await?;
/// assert_eq!(message.int("picture")?, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RabbitmqChannelLayer {
    pub(crate) inner: Arc<Inner>,
}

/// What all handles share.
pub(crate) struct Inner {
    pub(crate) site: Arc<Site>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) ear: Arc<Ear>,
    pub(crate) logs: Logs,
    pub(crate) readers: Arc<Readers>,
    pub(crate) dropped: DroppedDeliveries,
    /// What the layer is called in texts: its type and its brokers.
    pub(crate) name: String,
}

impl RabbitmqChannelLayer {
    pub(crate) fn new(site: Site) -> Self {
        let name = format!("RabbitmqChannelLayer({})", site.broker.names());
        let site = Arc::new(site);
        let outbox = Arc::new(Outbox::new(Arc::clone(&site)));
        let readers = Arc::new(Readers::default());
        let hub = Arc::new(Hub::new(
            Arc::clone(&site),
            Arc::clone(&outbox),
            Arc::clone(&readers),
        ));
        let ear = Arc::new(Ear::new(Arc::clone(&site)));
        ear.attach(&hub);
        site.broker.on_connect(DeadLetters::watch(&site, &ear));
        Self {
            inner: Arc::new(Inner {
                site,
                outbox,
                hub,
                ear,
                logs: Logs::new(),
                readers,
                dropped: DroppedDeliveries::new(name.clone()),
                name,
            }),
        }
    }

    /// What has gone wrong so far, as far as this process has seen it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.inner.site.counters.figures()
    }

    /// Waits until the broker is found to have been emptied, by a restart or by the loss of a
    /// node: messages, and memberships in groups, that were there are gone. A protocol server may
    /// add its connections to their groups again.
    pub async fn data_lost(&self) {
        // Fails only when the sender is dropped, which this handle prevents.
        let _ = self.site().counters.watch_data_lost().changed().await;
    }

    pub(crate) fn site(&self) -> &Arc<Site> {
        &self.inner.site
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.hub.close();
    }
}

#[async_trait]
impl ChannelLayer for RabbitmqChannelLayer {
    // ---- ASGI API

    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        let parcel = Parcel {
            body: self.site().codec.encode(&message)?,
            local: channel.local_part().map(str::to_owned),
            members: None,
        };
        match self.inner.outbox.send(channel, vec![parcel]).await? {
            0 => Err(Error::ChannelFull {
                channel: channel.to_non_local(),
            }),
            _ => Ok(()),
        }
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
        let site = self.site();
        loop {
            let name = pattern.generate();
            let session = site.broker.session().await?;
            // A random name that has messages belongs to somebody.
            let length = site
                .queues
                .declare(&session, Side::Listen, &site.topology, name.non_local())
                .await?;
            if length == 0 {
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

impl fmt::Display for RabbitmqChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.name)
    }
}

impl fmt::Debug for RabbitmqChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitmqChannelLayer")
            .field("brokers", &self.inner.name)
            .field("config", &self.inner.site.config)
            .finish_non_exhaustive()
    }
}

fn check_receivable(channels: &[ChannelName]) -> Result<()> {
    channels.iter().try_for_each(ChannelName::check_receivable)
}
