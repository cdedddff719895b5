use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use asgiref::{Backoff, ChannelName, Message, Recipient};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::shared::Shared;

use super::mailbox::Delivery;

/// After how many messages in a row other tasks get their turn.
const BATCH: u32 = 128;

/// How long to wait after the layer failed: first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Receives all replies and hands them to their connections, for ever, from a layer that does not
/// bring them by itself.
pub(crate) async fn read_replies(shared: Arc<Shared>) {
    let channels = [shared.replies.channel().clone()];
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut in_a_row = 0;
    loop {
        let (channel, message) = match shared.layer.receive(&channels).await {
            Ok(received) => received,
            Err(failure) => {
                shared.counters.layer_failed();
                let pause = backoff.next_pause();
                error!(
                    error = &failure as &dyn std::error::Error,
                    "cannot receive replies; next attempt in {pause:?}"
                );
                sleep(pause).await;
                continue;
            }
        };
        if backoff.is_counting() {
            backoff.reset();
            info!("replies are received again");
        }
        if let Some(waker) = shared.hand_on(&channel, message) {
            waker.wake();
        }
        // A receive that finds a message waiting does not yield by itself.
        in_a_row += 1;
        if in_a_row >= BATCH {
            in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
}

impl Shared {
    /// Hands a reply to its connection, whose task is to be woken if there is a waker.
    fn hand_on(&self, channel: &ChannelName, message: Message) -> Option<Waker> {
        let (delivery, waker) = self.replies.deliver(channel, message);
        match delivery {
            Delivery::Accepted => {}
            Delivery::Stale => {
                self.counters.reply_discarded();
                debug!(%channel, "discarded a reply: its connection or request is gone");
            }
            Delivery::Overflowed => {
                self.counters.slow_client();
                warn!(%channel, "a client reads more slowly than it is written to; giving it up");
            }
            Delivery::Lost => self.counters.reply_discarded(),
        }
        waker
    }
}

/// From a layer in this process replies come straight to their connections. Each is taken, as the
/// [reader](read_replies) takes them: what a slow client has to wait for is the mailbox's concern,
/// though writing it to disk holds up other replies meanwhile. If some were declined and received,
/// later ones could overtake them on the way from the layer to the mailbox.
impl Recipient for Shared {
    fn take(&self, channel: &ChannelName, message: Message) -> Result<Option<Waker>, Message> {
        Ok(self.hand_on(channel, message))
    }
}
