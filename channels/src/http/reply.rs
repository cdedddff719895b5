use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use asgiref::protocol::http::Response as ResponsePart;
use asgiref::{BoxError, Bytes, ChannelLayer, ChannelName, Message};
use futures_util::StreamExt as _;
use http::Response;
use http_body::Body;
use tokio::time::timeout;

use super::encode::{ResponseMessages, encode_response};
use super::error::{RespondError, RespondErrorKind};
use super::streams::Streams;
use crate::context::Context;
use crate::error::Outcome;
use crate::pending::{Target, send_within};

/// How long a message waits for room on a reply channel, unless told otherwise.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a response may be streamed: as long as a protocol server keeps any connection.
const LONGEST_RESPONSE: Duration = Duration::from_secs(86_400);

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
        Sender {
            layer: &*self.layer,
            name: &self.name,
            send_timeout: self.send_timeout,
            streams: self.streams.as_ref(),
            call: None,
        }
    }
}

/// Sends to a reply channel.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    layer: &'a dyn ChannelLayer,
    name: &'a ChannelName,
    send_timeout: Duration,
    streams: Option<&'a Arc<Streams>>,
    /// The consumer's call that is answered, if it goes on: there it is noted what was sent, so
    /// that the worker knows what is left to be answered if the call ends early.
    call: Option<&'a Context>,
}

impl<'a> Sender<'a> {
    /// Answers the call `cx`.
    ///
    /// # Errors
    ///
    /// [`Error::NoReplyChannel`](crate::Error::NoReplyChannel).
    pub(super) fn of(cx: &'a Context, send_timeout: Duration) -> crate::Result<Self> {
        Ok(Self {
            layer: &**cx.layer(),
            name: cx.reply_channel()?,
            send_timeout,
            streams: Some(cx.streams()),
            call: Some(cx),
        })
    }

    /// Sends a response, and takes it back as far as that is possible if it cannot be completed.
    pub(super) async fn send_all<B>(
        &self,
        mut messages: Pin<&mut ResponseMessages<B>>,
    ) -> Result<(), RespondError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        // Most responses are one message, and whether their client is there is no question.
        if !self
            .step(messages.as_mut())
            .await
            .map_err(|cause| self.failed(cause))?
        {
            return Ok(());
        }
        // Boxed, as are other ways off the common one: it keeps the future of every response small.
        Box::pin(self.stream(messages)).await
    }

    /// Sends the rest of a response that has begun.
    async fn stream<B>(
        &self,
        mut messages: Pin<&mut ResponseMessages<B>>,
    ) -> Result<(), RespondError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let open = self.streams.map(|streams| streams.open(self.name));
        let client_gone = async {
            match &open {
                Some(open) => open.client_gone().await,
                None => std::future::pending().await,
            }
        };
        let rest = async {
            while self.step(messages.as_mut()).await? {}
            Ok(())
        };
        let result = tokio::select! {
            () = client_gone => {
                tracing::debug!(
                    channel = self.name.as_str(),
                    "the client went away during its response",
                );
                self.note(&ResponsePart::aborted().into());
                return Ok(());
            }
            result = timeout(LONGEST_RESPONSE, rest) => result,
        };
        let cause = match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(cause)) => cause,
            Err(_) => RespondErrorKind::TooLong,
        };
        self.abort(&cause).await;
        Err(RespondError {
            started: true,
            ..self.failed(cause)
        })
    }

    /// Sends the next message and says whether it announces another.
    async fn step<B>(
        &self,
        mut messages: Pin<&mut ResponseMessages<B>>,
    ) -> Result<bool, RespondErrorKind>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let Some(message) = messages.next().await else {
            return Ok(false);
        };
        let message = message.map_err(RespondErrorKind::Body)?;
        self.send(&message).await.map_err(RespondErrorKind::Layer)?;
        self.note(&message);
        Ok(!messages.is_complete())
    }

    /// The error for a response of which nothing was sent.
    fn failed(&self, cause: RespondErrorKind) -> RespondError {
        RespondError {
            channel: self.name.clone(),
            started: false,
            cause,
        }
    }

    async fn send(&self, message: &Message) -> asgiref::Result<()> {
        match self.layer.send(self.name, message.clone()).await {
            Err(error) if error.is_channel_full() => {
                let target = Target::Channel(self.name.clone());
                let (message, limit) = (message.clone(), self.send_timeout);
                Box::pin(send_within(self.layer, &target, message, limit)).await
            }
            result => result,
        }
    }

    /// Ends a response that cannot be completed. What the caller reports is why that is so; there
    /// is nothing more to do if this fails too.
    async fn abort(&self, cause: &RespondErrorKind) {
        let aborted = ResponsePart::aborted().into();
        self.note(&aborted);
        let sent = match cause {
            RespondErrorKind::Body(_) | RespondErrorKind::TooLong => self.send(&aborted).await,
            // The time to wait for room is over.
            RespondErrorKind::Layer(_) => self.layer.send(self.name, aborted).await,
        };
        if let Err(error) = sent {
            tracing::debug!(
                channel = self.name.as_str(),
                error = &error as &dyn std::error::Error,
                "cannot tell the server that a response broke off",
            );
        }
    }

    fn note(&self, message: &Message) {
        if let Some(cx) = self.call {
            cx.note_reply(self.name, message);
        }
    }
}
