//! The way of a frame to the application, which `websocket.receive` may have no room for.

use std::ops::Range;
use std::time::Duration;

use asgiref::Message;
use asgiref::protocol::websocket;
use rand::Rng as _;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::shared::Shared;

use super::codes::{INTERNAL_ERROR, TOO_BIG, TRY_AGAIN_LATER};
use super::presence::Presence;

/// How long to wait before a full `websocket.receive` is tried again, in milliseconds: at random
/// between these, however long a frame has waited already. With pauses that grow, those who came
/// last would take all the room there is from those who have waited longest.
const PAUSE: Range<u64> = 15..35;

/// A frame that waits for room.
pub(super) struct Held {
    message: Message,
    give_up: Instant,
    next_try: Instant,
}

/// What became of a frame.
pub(super) enum Forwarded {
    Sent,
    /// There was no room; it is to be tried [`again`](Held::again).
    Held(Box<Held>),
    /// It is lost, and the WebSocket to be closed with this code.
    Lost(u16),
}

impl Held {
    /// When to try again.
    pub(super) const fn next_try(&self) -> Instant {
        self.next_try
    }

    /// Tries again.
    pub(super) async fn again(
        self: Box<Self>,
        shared: &Shared,
        presence: &mut Presence,
    ) -> Forwarded {
        let message = self.message.clone();
        send(shared, presence, message, Some(self)).await
    }
}

/// Hands a frame to the application.
pub(super) async fn forward(
    shared: &Shared,
    presence: &mut Presence,
    message: Message,
) -> Forwarded {
    send(shared, presence, message, None).await
}

/// Sends a message; `held` if it was tried before.
async fn send(
    shared: &Shared,
    presence: &mut Presence,
    message: Message,
    held: Option<Box<Held>>,
) -> Forwarded {
    let sent = shared
        .layer
        .send(&websocket::RECEIVE, message.clone())
        .await;
    let Err(failure) = sent else {
        presence.delivered();
        return Forwarded::Sent;
    };
    let channel = presence.reply_channel();
    if failure.is_channel_full() {
        let now = Instant::now();
        let give_up = held.map_or_else(
            || now + shared.options.websocket_retry_timeout,
            |held| held.give_up,
        );
        let pause = Duration::from_millis(rand::rng().random_range(PAUSE));
        if now < give_up {
            return Forwarded::Held(Box::new(Held {
                message,
                give_up,
                next_try: (now + pause).min(give_up),
            }));
        }
        warn!(%channel, "websocket.receive is full; closing the WebSocket");
        shared.counters.frame_lost();
        shared.counters.channel_full();
        return Forwarded::Lost(TRY_AGAIN_LATER);
    }
    error!(
        %channel,
        error = &failure as &dyn std::error::Error,
        "cannot send a frame to the channel layer; closing the WebSocket"
    );
    shared.counters.frame_lost();
    Forwarded::Lost(match failure {
        asgiref::Error::MessageTooLarge { .. } => TOO_BIG,
        _ => {
            shared.counters.layer_failed();
            INTERNAL_ERROR
        }
    })
}
