use std::sync::Arc;
use std::time::Duration;

use asgiref::{Backoff, ChannelName, Message};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::shared::Shared;

use super::mailbox::Delivery;

/// After how many messages in a row other tasks get their turn.
const BATCH: u32 = 128;

/// How many more to take then if the layer is in this process, where a look costs next to nothing.
/// The clients of a crowd then find several messages each, and write them together: that is what
/// a message costs most.
const LOCAL_BATCH: u32 = 2048;

/// How long to wait after the layer failed: first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Receives all replies and hands them to their connections, for ever.
pub(crate) async fn read_replies(shared: Arc<Shared>) {
    let channels = [shared.replies.channel().clone()];
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut in_a_row = 0;
    let is_local = shared.layer.is_process_local();
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
        deliver(&shared, &channel, message);
        // A receive that finds a message waiting does not yield by itself.
        in_a_row += 1;
        if in_a_row >= BATCH {
            in_a_row = 0;
            if is_local {
                // Many are waiting.
                for _ in 0..LOCAL_BATCH {
                    match shared.layer.try_receive(&channels).await {
                        Ok(Some((channel, message))) => deliver(&shared, &channel, message),
                        // An error comes again, to the next receive.
                        Ok(None) | Err(_) => break,
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

fn deliver(shared: &Shared, channel: &ChannelName, message: Message) {
    match shared.replies.deliver(channel, message) {
        Delivery::Accepted => {}
        Delivery::Stale => {
            shared.counters.reply_discarded();
            debug!(%channel, "discarded a reply: its connection or request is gone");
        }
        Delivery::Overflowed => {
            shared.counters.slow_client();
            warn!(%channel, "a client reads more slowly than it is written to; giving it up");
        }
        Delivery::Lost => shared.counters.reply_discarded(),
    }
}
