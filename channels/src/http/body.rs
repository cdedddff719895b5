use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asgiref::protocol::http::BodyChunk;
use asgiref::{Bytes, ChannelLayer, ChannelName};
use futures_util::future::BoxFuture;
use http_body::{Frame, SizeHint};

use super::error::BodyError;

/// The body of a request: what came with the message, then the chunks on its body channel
/// ([ASGI: Request Body Chunk]).
///
/// A chunk is taken off the channel when the service asks for it and not before, so at most one
/// is in memory, and a service that reads slowly slows the client down through the channel's
/// capacity. A service that reads nothing costs nothing.
///
/// It implements [`http_body::Body`], so an axum extractor or anything else made for hyper reads
/// it. The stream ends early with a [`BodyError`]; after that it yields nothing more.
///
/// [ASGI: Request Body Chunk]: https://channels.readthedocs.io/en/1.x/asgi/www.html#request-body-chunk
#[derive(Default)]
pub struct Body {
    /// What came with the message, until it was read.
    first: Bytes,
    /// Boxed so that a request without body channel, the usual one, is cheap to move.
    rest: Option<Box<Rest>>,
}

impl Body {
    /// A body of no bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body that continues on `channel` of `layer` after `first`.
    pub(super) fn continued(
        first: Bytes,
        layer: Arc<dyn ChannelLayer>,
        channel: ChannelName,
        limits: Limits,
    ) -> (Self, Outcome) {
        let outcome = Outcome::default();
        let received = first.len() as u64;
        let body = Self {
            first,
            rest: Some(Box::new(Rest {
                layer,
                channel,
                limits,
                received,
                state: State::Idle,
                outcome: outcome.clone(),
            })),
        };
        (body, outcome)
    }
}

impl From<Bytes> for Body {
    fn from(content: Bytes) -> Self {
        Self {
            first: content,
            rest: None,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.rest {
            Some(rest) => rest
                .poll_chunk(cx)
                .map(|chunk| chunk.map(|content| content.map(Frame::data))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty()
            && self
                .rest
                .as_ref()
                .is_none_or(|rest| matches!(rest.state, State::Ended))
    }

    /// Exact if there is no body channel. A `content-length` header is not relied on: nothing
    /// obliges a protocol server to have checked it.
    fn size_hint(&self) -> SizeHint {
        let known = self.first.len() as u64;
        if self.rest.is_none() {
            return SizeHint::with_exact(known);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(known);
        hint
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("buffered", &self.first.len())
            .field("channel", &self.rest.as_ref().map(|rest| &rest.channel))
            .finish()
    }
}

/// How long and how much a body on a channel may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The longest wait for one chunk.
    pub(super) timeout: Duration,
    /// The largest body in bytes.
    pub(super) size: Option<u64>,
}

/// Tells the handler how the body ended that it gave to the service.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome(Arc<AtomicU8>);

/// How a body ended, as far as it matters for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was read to the end, or not that far yet.
    Regular,
    /// The client is gone.
    Closed,
    /// The client was too slow.
    TimedOut,
    /// It was too large.
    TooLarge,
}

impl Outcome {
    /// How the body has ended so far.
    pub(super) fn ending(&self) -> Ending {
        const ENDINGS: [Ending; 3] = [Ending::Closed, Ending::TimedOut, Ending::TooLarge];
        ENDINGS
            .into_iter()
            .find(|ending| *ending as u8 == self.0.load(Ordering::Relaxed))
            .unwrap_or(Ending::Regular)
    }

    fn record(&self, error: &BodyError) {
        let ending = match error {
            BodyError::Closed => Ending::Closed,
            BodyError::Timeout { .. } => Ending::TimedOut,
            BodyError::TooLarge { .. } => Ending::TooLarge,
            BodyError::Layer(_) | BodyError::Malformed(_) => return,
        };
        // Whoever learns of the ending does so from the service's response, which is ordered
        // after the body's error already.
        self.0.store(ending as u8, Ordering::Relaxed);
    }
}

struct Rest {
    layer: Arc<dyn ChannelLayer>,
    channel: ChannelName,
    limits: Limits,
    /// Bytes taken over so far, those with the message included.
    received: u64,
    state: State,
    outcome: Outcome,
}

enum State {
    Idle,
    Receiving(BoxFuture<'static, Result<BodyChunk, BodyError>>),
    Ended,
}

impl Rest {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::Idle => {
                    self.state = State::Receiving(Box::pin(receive(
                        Arc::clone(&self.layer),
                        self.channel.clone(),
                        self.limits.timeout,
                    )));
                }
                State::Receiving(receiving) => {
                    let received = ready!(receiving.as_mut().poll(cx));
                    match received.and_then(|chunk| self.accept(chunk)) {
                        // An empty chunk is no news to the service, and the last one often is.
                        Ok(content) if content.is_empty() => {}
                        result => {
                            if let Err(error) = &result {
                                self.state = State::Ended;
                                self.outcome.record(error);
                            }
                            return Poll::Ready(Some(result));
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self, chunk: BodyChunk) -> Result<Bytes, BodyError> {
        if chunk.closed {
            return Err(BodyError::Closed);
        }
        self.received = self.received.saturating_add(chunk.content.len() as u64);
        if let Some(limit) = self.limits.size
            && self.received > limit
        {
            return Err(BodyError::TooLarge { limit });
        }
        self.state = if chunk.more_content {
            State::Idle
        } else {
            State::Ended
        };
        Ok(chunk.content)
    }
}

async fn receive(
    layer: Arc<dyn ChannelLayer>,
    channel: ChannelName,
    limit: Duration,
) -> Result<BodyChunk, BodyError> {
    let channels = [channel];
    let (_, message) = tokio::time::timeout(limit, layer.receive(&channels))
        .await
        .map_err(|_| BodyError::Timeout { limit })?
        .map_err(BodyError::Layer)?;
    BodyChunk::try_from(&message).map_err(BodyError::Malformed)
}
