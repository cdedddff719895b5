//! Request bodies: small ones go with the request, the rest of large ones follows in pieces.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use asgiref::protocol::http::BodyChunk;
use asgiref::{ChannelLayerExt as _, ChannelName, Message};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::connection::Connection;
use crate::disconnect::spawn;

use super::pages::{self, Page};

/// How long to try to tell the application that the client is gone.
const FAREWELL: Duration = Duration::from_secs(30);

/// A request body as it comes from the client.
pub(super) struct RequestBody {
    body: Incoming,
    /// What was read beyond the last piece.
    rest: Bytes,
    /// Bytes that came so far.
    received: u64,
    limit: Option<u64>,
}

/// A piece of a body.
#[derive(Debug)]
enum Piece {
    /// More follows, or the end.
    Some(Bytes),
    Last(Bytes),
}

/// Why no more of a body can be had.
#[derive(Clone, Copy, Debug)]
enum Failure {
    TooLarge,
    /// The client broke off, or broke the rules.
    Broken,
}

/// What goes with the request.
pub(super) enum FirstPart {
    /// All of it.
    Whole(Bytes),
    /// The beginning; the rest is for [`RequestBody::follow`].
    Beginning(Bytes),
}

impl RequestBody {
    /// # Errors
    ///
    /// The page to answer with if the body is announced to be larger than the server accepts.
    pub(super) fn new(body: Incoming, limit: Option<u64>) -> Result<Self, Page> {
        if limit.is_some_and(|limit| body.size_hint().lower() > limit) {
            return Err(pages::BODY_TOO_LARGE);
        }
        Ok(Self {
            body,
            rest: Bytes::new(),
            received: 0,
            limit,
        })
    }

    /// Whether nothing is left to be read.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    /// Reads what goes with the request: all of a small body, the beginning of another.
    ///
    /// # Errors
    ///
    /// The page to answer with if the body is too large, malformed, or does not come.
    pub(super) async fn first_part(&mut self, connection: &Connection) -> Result<FirstPart, Page> {
        let options = &connection.shared.options;
        let length = self.body.size_hint().exact();
        let size = match length {
            Some(length) if length <= options.inline_body_size as u64 => options.inline_body_size,
            _ => options.body_chunk_size,
        };
        let mut gathering = Gathering::new(size, length);
        let gathered = poll_fn(|context| {
            let gathered = self.poll_gather(context, &mut gathering, || {
                connection.expect_within(Instant::now(), Some(options.body_read_timeout));
            });
            match gathered {
                Poll::Pending if connection.watch.is_expired() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
                Poll::Ready(gathered) => Poll::Ready(Some(gathered)),
            }
        })
        .await;
        match gathered {
            Some(Ok(Piece::Last(body))) => Ok(FirstPart::Whole(body)),
            Some(Ok(Piece::Some(body))) => Ok(FirstPart::Beginning(body)),
            Some(Err(Failure::TooLarge)) => Err(pages::BODY_TOO_LARGE),
            Some(Err(Failure::Broken)) => Err(pages::BAD_BODY),
            None => Err(pages::BODY_TIMEOUT),
        }
    }

    /// Sends the rest of the body to `channel`, in a task of its own.
    pub(super) fn follow(self, connection: &Arc<Connection>, channel: ChannelName) -> UploadGuard {
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
        spawn(&connection.shared, upload.run(self));
        guard
    }

    /// Reads until a piece is full or the body ends. Pieces are copied together: the parts hyper
    /// hands out may be small and each keep a large buffer alive.
    fn poll_gather(
        &mut self,
        context: &mut Context<'_>,
        gathering: &mut Gathering,
        mut progress: impl FnMut(),
    ) -> Poll<Result<Piece, Failure>> {
        loop {
            let taken = gathering.take(&mut self.rest);
            if taken > 0 && gathering.is_full() {
                let piece = gathering.piece();
                return Poll::Ready(Ok(if self.is_at_end() {
                    Piece::Last(piece)
                } else {
                    Piece::Some(piece)
                }));
            }
            if self.body.is_end_stream() {
                return Poll::Ready(Ok(Piece::Last(gathering.piece())));
            }
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(Piece::Last(gathering.piece()))),
                Poll::Ready(Some(Err(failure))) => {
                    debug!(%failure, "a request body broke off");
                    return Poll::Ready(Err(Failure::Broken));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            progress();
            // Trailers have no place in a message.
            if let Ok(data) = frame.into_data() {
                self.received += data.len() as u64;
                if self.limit.is_some_and(|limit| self.received > limit) {
                    return Poll::Ready(Err(Failure::TooLarge));
                }
                self.rest = data;
            }
        }
    }
}

/// A piece in the making.
#[derive(Debug)]
struct Gathering {
    size: usize,
    /// How much room to make at first.
    expected: usize,
    buffer: BytesMut,
}

impl Gathering {
    fn new(size: usize, length: Option<u64>) -> Self {
        let expected = length
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(size)
            .min(size);
        Self {
            size,
            expected,
            buffer: BytesMut::new(),
        }
    }

    /// Takes from the front of `data` what there is room for; says how much.
    fn take(&mut self, data: &mut Bytes) -> usize {
        let count = data.len().min(self.size - self.buffer.len());
        if count > 0 {
            if self.buffer.is_empty() {
                self.buffer.reserve(self.expected);
            }
            self.buffer.extend_from_slice(&data.split_to(count));
        }
        count
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= self.size
    }

    fn piece(&mut self) -> Bytes {
        std::mem::take(&mut self.buffer).freeze()
    }
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
            Some(pages::FAILED)
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
        let options = &self.connection.shared.options;
        loop {
            let mut gathering = Gathering::new(options.body_chunk_size, None);
            let gather = poll_fn(|context| body.poll_gather(context, &mut gathering, || {}));
            let (content, more_content) = match timeout(options.body_read_timeout, gather).await {
                Ok(Ok(Piece::Some(content))) => (content, true),
                Ok(Ok(Piece::Last(content))) => (content, false),
                Ok(Err(Failure::TooLarge)) => return State::TooLarge,
                Ok(Err(Failure::Broken)) => return State::Broken,
                Err(_) => {
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
            if !self.answered.is_cancelled() {
                // While the body still comes, the application cannot be late.
                self.connection
                    .expect_within(Instant::now(), Some(options.http_timeout));
            }
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
