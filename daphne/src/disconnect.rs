//! Messages about the end of a request or a connection, which nobody waits for.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use asgiref::protocol::{http, websocket};
use asgiref::{Backoff, Message};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::shared::Shared;

/// How long to wait before a full `websocket.disconnect` is tried again: first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How long to try.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends `http.disconnect`, unless its channel is full: consumption is not required.
pub(crate) fn send_http_disconnect(shared: &Arc<Shared>, disconnect: http::Disconnect) {
    let sender = Arc::clone(shared);
    begin(shared, async move {
        match sender
            .layer
            .send(&http::DISCONNECT, disconnect.into())
            .await
        {
            Ok(()) => {}
            Err(error) if error.is_channel_full() => {}
            Err(error) => debug!(
                error = &error as &dyn std::error::Error,
                "cannot send http.disconnect"
            ),
        }
    });
}

/// Sends `websocket.disconnect`. While its channel is full it is tried again: applications clean
/// up after a connection when they receive it.
pub(crate) fn send_websocket_disconnect(shared: &Arc<Shared>, disconnect: websocket::Disconnect) {
    let sender = Arc::clone(shared);
    begin(shared, async move {
        let channel = disconnect.reply_channel.clone();
        if let Err(error) = insist(&sender, disconnect.into()).await {
            sender.counters.disconnect_lost();
            warn!(
                %channel,
                error = &error as &dyn std::error::Error,
                "cannot send websocket.disconnect; giving up"
            );
        }
    });
}

async fn insist(shared: &Shared, message: Message) -> Result<(), asgiref::Error> {
    let mut give_up = None;
    // Many connections may have ended together; they are not to come back together.
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let sent = shared
            .layer
            .send(&websocket::DISCONNECT, message.clone())
            .await;
        let Err(error) = sent else {
            return Ok(());
        };
        let now = Instant::now();
        if now >= *give_up.get_or_insert(now + PATIENCE) {
            return Err(error);
        }
        sleep(backoff.next_pause()).await;
    }
}

/// Begins `future`, and goes on with it in a task if it cannot be finished at once; with a layer
/// in memory it can.
fn begin(shared: &Shared, future: impl Future<Output = ()> + Send + 'static) {
    if Handle::try_current().is_err() {
        return;
    }
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    if future.as_mut().poll(&mut context).is_pending() {
        spawn(shared, future);
    }
}

/// Runs `future` to its end as one of the server's tasks. Without a runtime, which is going down
/// then, it is dropped.
pub(crate) fn spawn(shared: &Shared, future: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        shared.tasks.spawn_on(future, &runtime);
    }
}
