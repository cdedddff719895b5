//! What becomes of messages that were taken off their queues and that nobody wants any more.

use std::sync::{Arc, Weak};
use std::time::Duration;

use asgiref::{ChannelName, Error as AsgiError};
use tokio::time::sleep;

use super::Hub;
use super::parcel::Ready;
use super::settle::PuttingBack;
use crate::connection::Side;
use crate::error::Result;
use crate::outbox::Parcel;

/// How long a message of a process-specific or single-reader channel waits here for the next call
/// of this process, before it is looked whether others may have it.
const HOLD: Duration = Duration::from_millis(100);

impl Hub {
    /// Hands messages to those who wait for `channels`, or for others that include theirs; finds
    /// a place for those nobody wants.
    pub(super) fn hand_out(
        self: &Arc<Self>,
        channels: &[ChannelName],
        came: impl IntoIterator<Item = Ready>,
    ) {
        let mut rest = Vec::new();
        {
            let mut state = self.lock();
            let unwanted = state.hand_out(channels, came);
            for ready in unwanted.into_iter().rev() {
                rest.extend(state.keep(ready, channels.len() == 1));
            }
            if let [queue] = channels
                && state.may_give_back(queue)
                && state.giving_back.insert(queue.clone())
            {
                tokio::spawn(give_back(Arc::downgrade(self), queue.clone()));
            }
        }
        for ready in rest {
            let hub = Arc::clone(self);
            tokio::spawn(async move { hub.put_back(ready).await });
        }
    }

    /// Sends a message again that was taken off its queue and that nobody got.
    pub(super) async fn put_back(&self, ready: Ready) {
        let _counted = PuttingBack::begin(&self.putting_back);
        if let Err(error) = self.send_again(ready).await {
            self.site.counters.interrupted_receive();
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot put a message back that nobody wanted any more",
            );
        }
    }

    async fn send_again(&self, ready: Ready) -> Result<(), AsgiError> {
        let (queue, parcel) = match ready {
            Ready::Parcel(parcel) => (parcel.queue.clone(), parcel.to_send()),
            Ready::Opened {
                channel, message, ..
            } => {
                let parcel = Parcel {
                    body: self.site.codec.encode(&message)?,
                    local: channel.local_part().map(str::to_owned),
                    members: None,
                };
                (channel.to_non_local(), parcel)
            }
        };
        Ok(self.outbox.put_back(&queue, parcel).await?)
    }

    /// Whether other readers of a queue would have nothing else to take. While something lies
    /// there nobody else reads it, and what is kept here comes before it.
    async fn is_empty(&self, queue: &ChannelName) -> Result<bool> {
        let site = &self.site;
        let session = site.broker.session().await?;
        let declare = site
            .queues
            .declare(&session, Side::Listen, &site.topology, queue.as_str());
        Ok(declare.await? == 0)
    }
}

/// Puts back what is kept of a queue, unless a call of this process takes it first or it expires.
async fn give_back(hub: Weak<Hub>, queue: ChannelName) {
    loop {
        sleep(HOLD).await;
        let Some(hub) = hub.upgrade() else {
            return;
        };
        if hub.has_nothing_to_give_back(&queue) {
            return;
        }
        match hub.is_empty(&queue).await {
            Ok(true) => {
                let _counted = PuttingBack::begin(&hub.putting_back);
                let kept = hub.lock().drain_queue(&queue);
                for ready in kept {
                    hub.put_back(ready).await;
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot look whether a message can be put back",
                );
            }
        }
    }
}

impl Hub {
    /// Whether there is nothing any more; then another task begins with what comes next.
    fn has_nothing_to_give_back(&self, queue: &ChannelName) -> bool {
        let mut state = self.lock();
        let nothing = !state.may_give_back(queue);
        if nothing {
            state.giving_back.remove(queue);
        }
        nothing
    }
}
