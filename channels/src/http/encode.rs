use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use asgiref::protocol::http::{CHUNK_SIZE, Response as ResponsePart};
use asgiref::{BoxError, Bytes, Message};
use bytes::BytesMut;
use futures_util::Stream;
use http::Response;
use http_body::Body;
use http_body_util::{Empty, Full};
use pin_project_lite::pin_project;

use super::headers::to_message_headers;

/// Turns a response into the messages that go to the reply channel ([ASGI: Response]).
///
/// The first message has the status and the headers, in order and with names in lower case. No
/// header is added. Content goes in parts of at most [`CHUNK_SIZE`] bytes, every one but the last
/// marked `more_content`; a body that is known to fit in one part makes one message.
///
/// A consumer that answers HTTP itself sends them:
///
/// ```
/// use channels::http::encode_response;
/// use channels::{Context, ConsumerError};
///
/// async fn http_consumer(cx: Context) -> Result<(), ConsumerError> {
///     let text = format!("Hello world! You asked for {}", cx.message().text("path")?);
///     for message in encode_response(http::Response::new(text)) {
///         cx.reply(message);
///     }
///     Ok(())
/// }
/// ```
///
/// A body that is not in memory yet is encoded as it arrives: the result is a [`Stream`], each
/// frame of the body becomes a message at once, and if the body has nothing yet, status and
/// headers go out alone. A whole response goes out by
/// [`HttpReplyChannel::respond`](super::HttpReplyChannel::respond), which also waits while the channel is
/// full.
///
/// [ASGI: Response]: https://channels.readthedocs.io/en/1.x/asgi/www.html#response
pub fn encode_response<B>(response: Response<B>) -> ResponseMessages<B>
where
    B: Body<Data = Bytes>,
{
    let (parts, body) = response.into_parts();
    let exact = body.size_hint().exact();
    ResponseMessages {
        body,
        head: Some(Head {
            status: parts.status.as_u16(),
            headers: to_message_headers(parts.headers),
        }),
        pending: None,
        state: State::Open,
        exact,
        chunk_size: CHUNK_SIZE,
    }
}

pin_project! {
    /// The messages of a response; made by [`encode_response`].
    ///
    /// A [`Stream`] for any body, and for bodies in memory ([`String`], [`Full`], [`Empty`]) also
    /// something to loop over.
    #[must_use = "messages do nothing until they are sent"]
    pub struct ResponseMessages<B> {
        #[pin]
        body: B,
        // Status and headers, until they are sent.
        head: Option<Head>,
        // Content that is to be sent.
        pending: Option<Bytes>,
        state: State,
        exact: Option<u64>,
        chunk_size: usize,
    }
}

struct Head {
    status: u16,
    headers: asgiref::protocol::Headers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The body may have more.
    Open,
    /// The body is at its end.
    Drained,
    /// The last message was made.
    Done,
}

impl<B> ResponseMessages<B> {
    /// Sets the largest content of one message in bytes; at least 1. The default is
    /// [`CHUNK_SIZE`].
    pub fn chunk_size(mut self, size: usize) -> Self {
        self.chunk_size = size.max(1);
        self
    }

    /// Whether all messages were made.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Done
    }
}

impl<B> ResponseMessages<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Makes the next message from what is pending, the body's state being known.
    fn next_message(self: Pin<&mut Self>) -> Message {
        let this = self.project();
        let mut content = this.pending.take().unwrap_or_default();
        if content.len() > *this.chunk_size {
            let rest = content.split_off(*this.chunk_size);
            *this.pending = Some(rest);
        }
        let more_content = this.pending.is_some() || *this.state == State::Open;
        if !more_content {
            *this.state = State::Done;
        }
        let (status, headers) = match this.head.take() {
            Some(head) => (Some(head.status), head.headers),
            None => (None, asgiref::protocol::Headers::new()),
        };
        ResponsePart {
            status,
            headers,
            content,
            more_content,
            ..ResponsePart::default()
        }
        .into()
    }

    /// Reads one frame of data; `None` at the end of the body.
    fn poll_data(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        let mut this = self.project();
        loop {
            let mut poll = || this.body.as_mut().poll_frame(cx);
            // The body is the application's code. It is not polled again after a panic.
            let frame = match catch_unwind(AssertUnwindSafe(&mut poll)) {
                Ok(polled) => ready!(polled),
                Err(panic) => return Poll::Ready(Some(Err(BodyPanicked::boxed(&*panic)))),
            };
            return Poll::Ready(match frame {
                None => None,
                Some(Err(error)) => Some(Err(error.into())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    // Trailers: the message format has no place for them.
                    Err(_) => continue,
                },
            });
        }
    }

    /// Whether the whole body is to be put into one message.
    fn fits_one_message(&self) -> bool {
        self.exact
            .is_some_and(|size| size <= self.chunk_size as u64)
    }
}

impl<B> Stream for ResponseMessages<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Item = Result<Message, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.state == State::Open && self.body.is_end_stream() {
                *self.as_mut().project().state = State::Drained;
            }
            let held = self.pending.as_ref().map(Bytes::len);
            // One message is gathered as long as the body keeps to the size it announced.
            let gathering = self.head.is_some()
                && self.fits_one_message()
                && held.is_none_or(|held| held <= self.chunk_size);
            match self.state {
                State::Done => return Poll::Ready(None),
                State::Drained => return Poll::Ready(Some(Ok(self.next_message()))),
                State::Open if held.is_some() && !gathering => {
                    return Poll::Ready(Some(Ok(self.next_message())));
                }
                State::Open => {}
            }
            match self.as_mut().poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    let this = self.as_mut().project();
                    *this.pending = Some(match this.pending.take() {
                        Some(held) if !held.is_empty() => append(held, &data, *this.exact),
                        _ => data,
                    });
                }
                Poll::Ready(Some(Err(error))) => {
                    *self.as_mut().project().state = State::Done;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => *self.as_mut().project().state = State::Drained,
                // A client of a slow stream is to see at once that it has begun.
                Poll::Pending if self.head.is_some() && !gathering => {
                    return Poll::Ready(Some(Ok(self.next_message())));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<B> fmt::Debug for ResponseMessages<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseMessages")
            .field("begun", &self.head.is_none())
            .field("exact", &self.exact)
            .field("chunk_size", &self.chunk_size)
            .finish_non_exhaustive()
    }
}

/// The messages of a response whose body is in memory.
#[derive(Debug)]
pub struct Messages<B>(ResponseMessages<B>);

impl<B> Iterator for Messages<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin,
{
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        // A body in memory is never pending and has no error.
        match Pin::new(&mut self.0).poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(message))) => Some(message),
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => None,
        }
    }
}

macro_rules! into_messages {
    ($($body:ty)*) => {$(
        impl IntoIterator for ResponseMessages<$body> {
            type Item = Message;
            type IntoIter = Messages<$body>;

            fn into_iter(self) -> Self::IntoIter {
                Messages(self)
            }
        }
    )*};
}

into_messages!(String Full<Bytes> Empty<Bytes>);

/// `held` and `more` in one piece, growing the memory of `held` if nobody else has it. `whole` is
/// how large it will be in the end.
fn append(held: Bytes, more: &[u8], whole: Option<u64>) -> Bytes {
    let mut joined = held.try_into_mut().unwrap_or_else(|held| {
        let whole = whole
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(0);
        let mut joined = BytesMut::with_capacity(whole.max(held.len() + more.len()));
        joined.extend_from_slice(&held);
        joined
    });
    joined.extend_from_slice(more);
    joined.freeze()
}

#[derive(Debug, thiserror::Error)]
#[error("the body panicked: {message}")]
struct BodyPanicked {
    message: String,
}

impl BodyPanicked {
    fn boxed(panic: &(dyn Any + Send)) -> BoxError {
        let message = panic_message(panic).to_owned();
        Self { message }.into()
    }
}

/// What a panic said, if it said it in words.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
