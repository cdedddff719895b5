use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use asgiref::protocol::http::Response as ResponsePart;
use asgiref::{BoxError, Bytes, ChannelLayer, ChannelLayerExt as _, ChannelName, Message};
use futures_util::StreamExt as _;
use http_body::Body;
use tokio::time::timeout;

use super::encode::ResponseMessages;
use super::error::{RespondError, RespondErrorKind};
use super::streams::Streams;
use crate::context::Context;

/// How long a response may be streamed: as long as a protocol server keeps any connection.
const LONGEST_RESPONSE: Duration = Duration::from_secs(86_400);

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
    /// Answers outside of the call; notices that the client goes away if `streams` are given.
    pub(super) const fn to(
        name: &'a ChannelName,
        layer: &'a dyn ChannelLayer,
        send_timeout: Duration,
        streams: Option<&'a Arc<Streams>>,
    ) -> Self {
        Self {
            layer,
            name,
            send_timeout,
            streams,
            call: None,
        }
    }

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
            while self.step(messages.as_mut()).await? {
                // A body that is always ready must not keep the thread to itself.
                tokio::task::consume_budget().await;
            }
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

    /// Sends one message, waiting for room on the channel.
    pub(super) async fn send(&self, message: &Message) -> asgiref::Result<()> {
        match self.layer.send(self.name, message.clone()).await {
            Err(error) if error.is_channel_full() => {
                let (message, limit) = (message.clone(), self.send_timeout);
                Box::pin(self.layer.send_within(self.name, message, limit)).await
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
