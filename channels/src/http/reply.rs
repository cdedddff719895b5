use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{BoxError, Bytes, ChannelLayer, ChannelName, Message};
use http::Response;
use http_body::Body;

use super::encode::encode_response;
use super::error::RespondError;
use super::sender::Sender;
use super::streams::Streams;
use crate::context::Context;
use crate::error::Outcome;

/// How long a message waits for room on a reply channel, unless told otherwise.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers the HTTP request that a consumer is called for.
///
/// The response goes out at once and part by part, unlike what the consumer sends otherwise; it
/// waits up to 60 seconds for room on the reply channel. A response that is small and in memory
/// may as well be [encoded](encode_response) and replied with.
///
/// ```
/// use channels::http::respond;
/// use channels::{Context, Outcome};
/// use http::Response;
///
/// async fn http_consumer(cx: Context) -> Outcome {
///     respond(&cx, Response::builder().status(404).body("not here".to_owned())?).await?;
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// [`Error::NoReplyChannel`](crate::Error::NoReplyChannel); [`RespondError`] otherwise. A consumer
/// may return the error in any case: the worker answers 500 if nothing was sent.
pub async fn respond<B>(cx: &Context, response: Response<B>) -> Outcome
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let messages = pin!(encode_response(response));
    Ok(Sender::of(cx, SEND_TIMEOUT)?.send_all(messages).await?)
}

/// Where the response to a request goes.
///
/// It outlives the request's consumer: keep a clone (or the [name](Self::name), and make another
/// with [`new`](Self::new) in whatever process has the news) and return
/// [`ResponseLater`](super::ResponseLater).
///
/// What is sent here takes effect at once, in contrast to what a consumer sends otherwise: a
/// response that comes in parts is to flow while it is made.
///
/// A response that is being streamed ends when the client goes away. Workers learn that from
/// `http.disconnect`, on which they listen if they have [`DefaultRoutes`](crate::DefaultRoutes) or
/// a route for it.
#[derive(Clone, Debug)]
pub struct HttpReplyChannel {
    layer: Arc<dyn ChannelLayer>,
    name: ChannelName,
    send_timeout: Duration,
    /// Where it is known whether the client has gone away.
    streams: Option<Arc<Streams>>,
}

impl HttpReplyChannel {
    /// The reply channel `name` of `layer`.
    #[must_use]
    pub const fn new(name: ChannelName, layer: Arc<dyn ChannelLayer>) -> Self {
        Self {
            layer,
            name,
            send_timeout: SEND_TIMEOUT,
            streams: None,
        }
    }

    /// The reply channel of a call, which outlives it.
    pub(super) fn of(cx: &Context, name: ChannelName) -> Self {
        Self {
            streams: Some(Arc::clone(cx.streams())),
            ..Self::new(name, Arc::clone(cx.layer()))
        }
    }

    /// Sets how long a message waits while the channel is full; 60 seconds unless set.
    #[must_use]
    pub const fn send_timeout(mut self, limit: Duration) -> Self {
        self.send_timeout = limit;
        self
    }

    /// The channel's name.
    #[must_use]
    pub const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Sends one message; while the channel is full, waits and tries again ([ASGI: Response]
    /// asks senders for that, and allows them to give up).
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::ChannelFull`] if the channel was full for the whole
    /// [time limit](Self::send_timeout): the protocol server is overloaded or gone. Otherwise as
    /// [`ChannelLayer::send`].
    ///
    /// [ASGI: Response]: https://channels.readthedocs.io/en/1.x/asgi/www.html#response
    pub async fn send(&self, message: impl Into<Message>) -> asgiref::Result<()> {
        self.sender().send(&message.into()).await
    }

    /// Sends a response, part by part as its body yields it.
    ///
    /// If the body fails, the server is told to break the connection off, so that the client
    /// does not take what it got for the whole: a message with the key `closed`, as the server
    /// itself sends for a broken upload.
    ///
    /// # Errors
    ///
    /// [`RespondError`]; it says whether another response may still be sent. That the client went
    /// away is no error.
    pub async fn respond<B>(&self, response: Response<B>) -> Result<(), RespondError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        self.sender()
            .send_all(pin!(encode_response(response)))
            .await
    }

    fn sender(&self) -> Sender<'_> {
        Sender::to(
            &self.name,
            &*self.layer,
            self.send_timeout,
            self.streams.as_ref(),
        )
    }
}
