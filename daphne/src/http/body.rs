use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::exchange::Exchange;
use super::part::Part;
use super::upload::UploadGuard;

/// Why a response ends without being complete. The client learns it from the connection, which is
/// reset.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Abort {
    #[error("the client reads more slowly than it is written to")]
    SlowClient,
    #[error("the application did not go on with the response in time")]
    TimedOut,
    #[error("the application sent a message that is no part of a response")]
    BadReply,
    #[error("the application gave the response up")]
    GivenUp,
    #[error("the request body broke off")]
    Upload,
}

/// The body of a response: all of it, or as it comes from the application.
pub(crate) struct ReplyBody {
    content: Bytes,
    /// The request that is answered, unless the server answers by itself.
    exchange: Option<Exchange>,
    /// Whether messages follow.
    more: bool,
}

impl ReplyBody {
    /// A body that is all here and belongs to no request of the application.
    pub(crate) fn plain(content: Bytes) -> Self {
        Self {
            content,
            exchange: None,
            more: false,
        }
    }

    /// No body.
    pub(crate) fn empty() -> Self {
        Self::plain(Bytes::new())
    }

    /// A body that is all here.
    pub(super) fn whole(mut exchange: Exchange, content: Bytes) -> Self {
        if content.is_empty() {
            exchange.complete();
        }
        Self {
            content,
            exchange: Some(exchange),
            more: false,
        }
    }

    /// A body that begins with `content`; the rest comes in messages.
    pub(super) fn stream(exchange: Exchange, content: Bytes) -> Self {
        let connection = exchange.connection();
        let limit = connection.shared.options.response_idle_timeout;
        connection.expect_within(Instant::now(), limit);
        Self {
            content,
            exchange: Some(exchange),
            more: true,
        }
    }

    /// Hands on a piece of the body, which is the last one if no messages follow.
    fn hand_on(&mut self, content: Bytes) -> Frame<Bytes> {
        if let Some(exchange) = &mut self.exchange {
            exchange.add_size(content.len());
            if !self.more {
                exchange.complete();
            }
        }
        Frame::data(content)
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = Abort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Abort>>> {
        let this = &mut *self;
        if !this.content.is_empty() {
            let content = std::mem::take(&mut this.content);
            return Poll::Ready(Some(Ok(this.hand_on(content))));
        }
        while this.more {
            let Some(exchange) = &this.exchange else {
                break;
            };
            let chunk = match ready!(poll_chunk(exchange, context)) {
                Ok(Some(chunk)) => chunk,
                Ok(None) => continue,
                Err(abort) => return Poll::Ready(Some(Err(abort))),
            };
            this.more = chunk.more_content;
            if !chunk.content.is_empty() {
                return Poll::Ready(Some(Ok(this.hand_on(chunk.content))));
            }
        }
        if let Some(exchange) = &mut this.exchange {
            exchange.complete();
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_empty() && !self.more
    }

    fn size_hint(&self) -> SizeHint {
        if self.more {
            SizeHint::default()
        } else {
            SizeHint::with_exact(self.content.len() as u64)
        }
    }
}

/// Waits for the next message of a response; `None` if it is to be ignored.
fn poll_chunk(exchange: &Exchange, context: &Context<'_>) -> Poll<Result<Option<Part>, Abort>> {
    let connection = exchange.connection();
    let (options, counters) = (&connection.shared.options, &connection.shared.counters);
    let channel = exchange.reply_channel();
    let message = match connection.mailbox.poll_next(context) {
        Poll::Ready(Ok(message)) => message,
        Poll::Ready(Err(_)) => return Poll::Ready(Err(Abort::SlowClient)),
        Poll::Pending if connection.watch.is_expired() => {
            counters.timed_out();
            warn!(%channel, "nothing more came of a response; breaking it off");
            return Poll::Ready(Err(Abort::TimedOut));
        }
        Poll::Pending if exchange.upload().and_then(UploadGuard::failure).is_some() => {
            debug!(%channel, "the request body broke off; breaking the response off too");
            return Poll::Ready(Err(Abort::Upload));
        }
        Poll::Pending => return Poll::Pending,
    };
    connection.expect_within(Instant::now(), options.response_idle_timeout);
    let chunk = match Part::read(&message) {
        Ok(chunk) => chunk,
        Err(failure) => {
            counters.bad_reply();
            error!(
                %channel,
                error = &failure as &dyn std::error::Error,
                "a message is no part of a response; breaking the response off"
            );
            return Poll::Ready(Err(Abort::BadReply));
        }
    };
    if chunk.closed {
        debug!(%channel, "the application cannot complete a response; breaking it off");
        return Poll::Ready(Err(Abort::GivenUp));
    }
    if chunk.status.is_some() {
        counters.bad_reply();
        error!(%channel, "a second status came for a response; ignored with its content");
        return Poll::Ready(Ok(None));
    }
    Poll::Ready(Ok(Some(chunk)))
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBody")
            .field("content", &self.content.len())
            .field("more", &self.more)
            .finish_non_exhaustive()
    }
}
