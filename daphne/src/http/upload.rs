//! The rest of a large request body, which follows the request in messages of its own.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use asgiref::protocol::http::BodyChunk;
use asgiref::{ChannelLayerExt as _, ChannelName, Message};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::connection::Connection;
use crate::disconnect::spawn;
use crate::timer::LazyTimer;

use super::pages::{self, Page};
use super::request_body::{Failure, Gathering, Piece, RequestBody, pace};

/// How long to try to tell the application that the client is gone.
const FAREWELL: Duration = Duration::from_secs(30);

/// Sends the rest of `body` to `channel`, in a task of its own.
pub(super) fn follow(
    body: RequestBody,
    connection: &Arc<Connection>,
    channel: ChannelName,
) -> UploadGuard {
    let guard = UploadGuard {
        state: Arc::new(AtomicU8::new(State::Running as u8)),
        answered: CancellationToken::new(),
    };
    let upload = Upload {
        connection: Arc::clone(connection),
        channel,
        state: Arc::clone(&guard.state),
        answered: guard.answered.clone(),
    };
    spawn(&connection.shared, upload.run(body));
    guard
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Running,
    /// All of it was sent.
    Done,
    /// It was given up because the client broke off, or broke the rules.
    Broken,
    /// It was given up because nothing more came.
    Stalled,
    /// It was given up because it is larger than the server accepts.
    TooLarge,
    /// It was given up because the application does not receive it.
    Unwanted,
    /// It was given up because the channel layer failed.
    NoLayer,
}

/// A request's hold on the task that sends the rest of its body.
///
/// After it is dropped the task goes on only as long as the application keeps receiving.
#[derive(Debug)]
pub(crate) struct UploadGuard {
    state: Arc<AtomicU8>,
    answered: CancellationToken,
}

impl UploadGuard {
    /// Whether all of the body was sent.
    pub(super) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == State::Done as u8
    }

    /// The page that says why the upload was given up, if it was.
    pub(super) fn failure(&self) -> Option<Page> {
        let is = |state: State| self.state.load(Ordering::Acquire) == state as u8;
        if is(State::Running) || is(State::Done) {
            None
        } else if is(State::TooLarge) {
            Some(pages::BODY_TOO_LARGE)
        } else if is(State::Stalled) {
            Some(pages::BODY_TIMEOUT)
        } else if is(State::Unwanted) {
            Some(pages::NO_ANSWER)
        } else if is(State::NoLayer) {
            Some(pages::NO_LAYER)
        } else {
            Some(pages::BAD_BODY)
        }
    }
}

impl Drop for UploadGuard {
    fn drop(&mut self) {
        self.answered.cancel();
    }
}

struct Upload {
    connection: Arc<Connection>,
    channel: ChannelName,
    state: Arc<AtomicU8>,
    /// Cancelled once the response is complete, or nobody waits for it any more.
    answered: CancellationToken,
}

impl Upload {
    async fn run(self, mut body: RequestBody) {
        let state = self.send_all(&mut body).await;
        self.state.store(state as u8, Ordering::Release);
        // The body goes before the farewell, so that its connection is closed without delay.
        drop(body);
        if state != State::Done {
            self.connection.mailbox.wake();
            let closed = BodyChunk {
                closed: true,
                ..BodyChunk::default()
            };
            // Whether it arrives or not, nothing more can be done.
            let _ = self.send(closed.into(), FAREWELL, true).await;
        }
    }

    async fn send_all(&self, body: &mut RequestBody) -> State {
        let shared = &self.connection.shared;
        let options = &shared.options;
        let mut pace = pace(options);
        let mut timer = pin!(LazyTimer::new(pace.deadline()));
        let mut draining = pin!(shared.draining.cancelled());
        let mut in_haste = false;
        loop {
            let mut gathering = Gathering::new(options.body_chunk_size, None);
            pace.restart(Instant::now());
            let gathered = poll_fn(|context| {
                if !in_haste && draining.as_mut().poll(context).is_ready() {
                    in_haste = true;
                    pace.hurry(options.shutdown_read_timeout, Instant::now());
                }
                let gathered = body.poll_gather(context, &mut gathering, |bytes| {
                    let now = Instant::now();
                    pace.came(bytes, now);
                    self.still_coming(now);
                });
                match gathered {
                    Poll::Ready(gathered) => Poll::Ready(Some(gathered)),
                    Poll::Pending => timer.as_mut().poll(context, pace.deadline()).map(|()| None),
                }
            });
            let (content, more_content) = match gathered.await {
                Some(Ok(Piece::Some(content))) => (content, true),
                Some(Ok(Piece::Last(content))) => (content, false),
                Some(Err(Failure::TooLarge)) => return State::TooLarge,
                Some(Err(Failure::Broken)) => return State::Broken,
                None => {
                    debug!(channel = %self.channel, "the rest of a request body did not come");
                    return State::Stalled;
                }
            };
            let chunk = BodyChunk {
                content,
                closed: false,
                more_content,
            };
            if let Err(state) = self.send(chunk.into(), options.http_timeout, false).await {
                return state;
            }
            if !more_content {
                return State::Done;
            }
            self.still_coming(Instant::now());
        }
    }

    /// While the body still comes, the application cannot be late.
    fn still_coming(&self, now: Instant) {
        if !self.answered.is_cancelled() {
            let limit = self.connection.shared.options.http_timeout;
            self.connection.expect_within(now, Some(limit));
        }
    }

    /// Sends one message, waiting while the channel is full for as long as `limit`, but after the
    /// response not at all unless `insist`.
    async fn send(&self, message: Message, limit: Duration, insist: bool) -> Result<(), State> {
        let shared = &self.connection.shared;
        let sent = tokio::select! {
            biased;
            sent = shared.layer.send_within(&self.channel, message, limit) => sent,
            () = self.answered.cancelled(), if !insist => return Err(State::Unwanted),
        };
        sent.map_err(|error| {
            if error.is_channel_full() {
                warn!(channel = %self.channel, "nobody receives the rest of a request body");
                return State::Unwanted;
            }
            shared.counters.layer_failed();
            warn!(
                channel = %self.channel,
                error = &error as &dyn std::error::Error,
                "cannot send a part of a request body"
            );
            State::NoLayer
        })
    }
}
