//! Request bodies as they come from the client: small ones are read whole, large ones in pieces.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::debug;

use crate::connection::Connection;
use crate::options::Options;
use crate::shared::Stage;

use super::pace::Pace;
use super::pages::{self, Page};

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
pub(super) enum Piece {
    /// More follows, or the end.
    Some(Bytes),
    Last(Bytes),
}

/// Why no more of a body can be had.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    TooLarge,
    /// The client broke off, or broke the rules.
    Broken,
}

/// What goes with the request.
pub(super) enum FirstPart {
    /// All of it.
    Whole(Bytes),
    /// The beginning; the rest is for [`follow`](super::upload::follow).
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
        let mut pace = pace(options);
        connection.expect_at(pace.deadline());
        let mut in_haste = false;
        let gathered = poll_fn(|context| {
            if !in_haste && connection.shared.stage() != Stage::Running {
                in_haste = true;
                pace.hurry(options.shutdown_read_timeout, Instant::now());
                connection.expect_at(pace.deadline());
            }
            let gathered = self.poll_gather(context, &mut gathering, |bytes| {
                pace.came(bytes, Instant::now());
                connection.expect_at(pace.deadline());
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

    /// Reads until a piece is full or the body ends. Pieces are copied together: the parts hyper
    /// hands out may be small and each keep a large buffer alive.
    pub(super) fn poll_gather(
        &mut self,
        context: &mut Context<'_>,
        gathering: &mut Gathering,
        mut progress: impl FnMut(usize),
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
            // Trailers have no place in a message.
            if let Ok(data) = frame.into_data() {
                progress(data.len());
                self.received += data.len() as u64;
                if self.limit.is_some_and(|limit| self.received > limit) {
                    return Poll::Ready(Err(Failure::TooLarge));
                }
                self.rest = data;
            }
        }
    }
}

/// How fast a body must come, from now on.
pub(super) fn pace(options: &Options) -> Pace {
    Pace::new(
        options.body_read_timeout,
        options.body_min_rate,
        Instant::now(),
    )
}

/// A piece in the making.
#[derive(Debug)]
pub(super) struct Gathering {
    size: usize,
    /// How much room to make at first.
    expected: usize,
    buffer: BytesMut,
}

impl Gathering {
    pub(super) fn new(size: usize, length: Option<u64>) -> Self {
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
