//! Messages about the end of a request or a connection, which nobody waits for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use asgiref::protocol::http;
use tokio::runtime::Handle;
use tracing::debug;

use crate::shared::Shared;

/// Sends `http.disconnect`, unless its channel is full: consumption is not required.
pub(crate) fn send_http_disconnect(shared: &Arc<Shared>, disconnect: http::Disconnect) {
    let sender = Arc::clone(shared);
    let mut send: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
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
    // A layer in memory is done at once; then there is no need for a task.
    let done = send
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready();
    if !done {
        spawn(shared, send);
    }
}

/// Runs `future` to its end as one of the server's tasks. Without a runtime, which is going down
/// then, it is dropped.
pub(crate) fn spawn(shared: &Shared, future: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        shared.tasks.spawn_on(future, &runtime);
    }
}
