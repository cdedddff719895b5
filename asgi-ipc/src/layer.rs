//! The ASGI API: send, receive, new channel.

use std::fmt;
use std::sync::Arc;

use asgiref::{
    ChannelLayer, ChannelName, ChannelPattern, Error, Flush, Groups, LayerConfig, Message, Result,
    Statistics,
};
use async_trait::async_trait;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use crate::config::Place;
use crate::shared::Shared;
use crate::store::{Outgoing, Refused};
use crate::waiting;

/// A channel layer in shared memory, for all processes of a machine.
///
/// Provides groups, flush and statistics. A clone is another handle to the same client of the
/// segment.
///
/// Calls that wait need a tokio runtime with I/O enabled, as `#[tokio::main]` has it.
#[derive(Clone)]
pub struct IpcChannelLayer {
    pub(crate) shared: Arc<Shared>,
}

impl IpcChannelLayer {
    pub(crate) fn open(config: LayerConfig, place: Place) -> Result<Self> {
        let shared = Shared::open(config, place)?;
        Ok(Self { shared })
    }
}

#[async_trait]
impl ChannelLayer for IpcChannelLayer {
    // ---- ASGI API

    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        let shared = &self.shared;
        let bytes = shared.codec.encode(&message)?;
        let name = channel.non_local();
        let local = channel.local_part().unwrap_or_default();
        let capacity = shared.config.capacities().of(name);
        let expiry = shared.config.message_expiry();
        let sent = shared.send(&Outgoing {
            name,
            local,
            message: &bytes,
            capacity,
            expiry,
        })?;
        sent.map_err(|refused| {
            if refused == Refused::NoRoom {
                tracing::debug!(%channel, "`message_memory` is used up");
            }
            Error::ChannelFull {
                channel: channel.to_non_local(),
            }
        })
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        check_receivable(channels)?;
        if channels.is_empty() {
            return std::future::pending().await;
        }
        // A reader of a channel that is never empty lets other tasks of its thread run.
        consume_budget().await;
        if let Some(received) = self.shared.try_receive(channels)? {
            return Ok(received);
        }
        // Those who are ready to run may be about to send, or to receive what comes next: several
        // messages are then taken in one go, instead of each waking a process that sleeps.
        yield_now().await;
        self.shared.waiting.watch(&self.shared)?;
        Ok(waiting::receive(&self.shared, channels).await?)
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        check_receivable(channels)?;
        Ok(self.shared.try_receive(channels)?)
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        loop {
            let name = pattern.generate();
            let used = self
                .shared
                .run(|locked| Ok(locked.find_channel(name.non_local())?.is_some()))?;
            if !used {
                return Ok(name);
            }
        }
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

impl fmt::Display for IpcChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shared.place.layer_name())
    }
}

impl fmt::Debug for IpcChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpcChannelLayer")
            .field("place", &self.shared.place)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

fn check_receivable(channels: &[ChannelName]) -> Result<()> {
    channels.iter().try_for_each(ChannelName::check_receivable)
}
