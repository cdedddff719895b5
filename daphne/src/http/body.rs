use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use asgiref::Message;
use asgiref::protocol::http::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tracing::{debug, error};

use super::exchange::Exchange;

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
}

/// The body of a response: all of it, or as it comes from the application.
pub(crate) struct ReplyBody {
    exchange: Exchange,
    content: Bytes,
    /// Whether messages follow.
    more: bool,
}

impl ReplyBody {
    /// A body that is all here.
    pub(crate) fn whole(mut exchange: Exchange, content: Bytes) -> Self {
        if content.is_empty() {
            exchange.complete();
        }
        Self {
            exchange,
            content,
            more: false,
        }
    }

    /// A body that begins with `content`; the rest comes in messages.
    pub(crate) fn stream(exchange: Exchange, content: Bytes) -> Self {
        Self {
            exchange,
            content,
            more: true,
        }
    }

    /// Hands on a piece of the body, which is the last one if no messages follow.
    fn hand_on(&mut self, content: Bytes) -> Frame<Bytes> {
        self.exchange.add_size(content.len());
        if !self.more {
            self.exchange.complete();
        }
        Frame::data(content)
    }

    /// Takes a message as the next part of the response; `None` if it is none.
    fn read(&mut self, message: &Message) -> Result<Option<Bytes>, Abort> {
        let channel = self.exchange.reply_channel();
        let chunk = match Response::try_from(message) {
            Ok(chunk) => chunk,
            Err(failure) => {
                self.exchange.connection().shared.counters.bad_reply();
                error!(
                    %channel,
                    error = &failure as &dyn std::error::Error,
                    "a message is no part of a response; breaking the response off"
                );
                return Err(Abort::BadReply);
            }
        };
        if chunk.closed {
            debug!(%channel, "the application cannot complete a response; breaking it off");
            return Err(Abort::GivenUp);
        }
        if chunk.status.is_some() {
            self.exchange.connection().shared.counters.bad_reply();
            error!(%channel, "a second status came for a response; ignored with its content");
            return Ok(None);
        }
        self.more = chunk.more_content;
        Ok(Some(chunk.content))
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
            let connection = this.exchange.connection();
            let message = match connection.mailbox.poll_next(context) {
                Poll::Ready(Ok(message)) => message,
                Poll::Ready(Err(_)) => return Poll::Ready(Some(Err(Abort::SlowClient))),
                Poll::Pending if connection.watch.is_expired() => {
                    debug!(
                        channel = %this.exchange.reply_channel(),
                        "nothing more came of a response; breaking it off"
                    );
                    connection.shared.counters.timed_out();
                    return Poll::Ready(Some(Err(Abort::TimedOut)));
                }
                Poll::Pending => return Poll::Pending,
            };
            let limit = connection.shared.options.response_idle_timeout;
            connection.expect_within(Instant::now(), limit);
            match this.read(&message) {
                Ok(Some(content)) if !content.is_empty() => {
                    return Poll::Ready(Some(Ok(this.hand_on(content))));
                }
                Ok(_) => {}
                Err(abort) => return Poll::Ready(Some(Err(abort))),
            }
        }
        this.exchange.complete();
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

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBody")
            .field("content", &self.content.len())
            .field("more", &self.more)
            .finish_non_exhaustive()
    }
}
