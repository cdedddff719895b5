//! What can go wrong between a request message and its answer.

use std::time::Duration;

use asgiref::BoxError;
use http::StatusCode;

/// Why an `http.request` message cannot be handed to a service: the client sent something that is
/// no HTTP, or the protocol server something that is no such message.
/// [`AsgiHandler`](super::AsgiHandler) answers with [`status`](Self::status).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The body is larger than the handler allows, by its `content-length` or by what has come.
    #[error("the body exceeds the limit of {limit} bytes")]
    BodyTooLarge {
        /// The largest size allowed in bytes, [`AsgiHandler::max_body_size`].
        ///
        /// [`AsgiHandler::max_body_size`]: super::AsgiHandler::max_body_size
        limit: u64,
    },
    /// A header breaks the rules for names or values.
    #[error("header {name:?} is not a valid header")]
    Header {
        /// The header's name as far as it is text.
        name: String,
        /// The rule that is broken.
        source: http::Error,
    },
    /// The message breaks the rules of its format.
    #[error("malformed request message")]
    Malformed(#[from] asgiref::Error),
    /// The method is not a token.
    #[error("method {method:?} is not a valid method")]
    Method {
        /// What the message has instead.
        method: String,
    },
    /// The message names no usable reply channel.
    #[error("the request has no usable `reply_channel`")]
    NoReplyChannel,
    /// The path is neither `*` nor begins with `/`.
    #[error("the path does not begin with `/`")]
    Path,
    /// The query string is not UTF-8.
    #[error("the query string is not UTF-8")]
    Query(#[source] std::str::Utf8Error),
    /// Path and query together are longer than 65,534 bytes.
    #[error("the path and query of {size} bytes exceed the limit of 65534 bytes")]
    TargetTooLong {
        /// Their length in bytes once encoded.
        size: usize,
    },
}

impl RequestError {
    /// What the client is told: 400; 413 or 414 if the body or the target is too long.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::Header { .. }
            | Self::Malformed(_)
            | Self::Method { .. }
            | Self::NoReplyChannel
            | Self::Path
            | Self::Query(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Why a request's [`Body`](super::Body) ended before it was complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client went away during the upload. Nobody is left to be answered.
    #[error("the client closed the connection before the whole body had arrived")]
    Closed,
    /// The body channel could not be read.
    #[error("the body channel could not be read")]
    Layer(#[source] asgiref::Error),
    /// A message on the body channel breaks the rules of its format.
    #[error("malformed message on the body channel")]
    Malformed(#[source] asgiref::Error),
    /// The client sent nothing for too long. It is answered 408.
    #[error("no part of the body arrived for {} seconds", limit.as_secs_f64())]
    Timeout {
        /// The time allowed between two parts, [`AsgiHandler::body_timeout`].
        ///
        /// [`AsgiHandler::body_timeout`]: super::AsgiHandler::body_timeout
        limit: Duration,
    },
    /// The body is larger than allowed. The client is answered 413.
    #[error("the body exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The largest size allowed in bytes, [`AsgiHandler::max_body_size`].
        ///
        /// [`AsgiHandler::max_body_size`]: super::AsgiHandler::max_body_size
        limit: u64,
    },
}

/// Why a response did not reach the reply channel in full.
#[derive(Debug, thiserror::Error)]
#[error("response to {channel} {}", if *.started { "broke off" } else { "was not sent" })]
pub struct RespondError {
    /// The reply channel.
    pub channel: asgiref::ChannelName,
    /// Whether the status had been sent before it happened; if not, another response may be.
    pub started: bool,
    /// What happened.
    #[source]
    pub cause: RespondErrorKind,
}

/// What happened to a response that did not reach the reply channel in full.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RespondErrorKind {
    /// The response's body failed or panicked.
    #[error("the response body failed")]
    Body(#[source] BoxError),
    /// The channel layer refused a message: the channel stayed full for as long as the sender
    /// is told to wait, or the transport failed.
    #[error("the channel layer did not take the message")]
    Layer(#[source] asgiref::Error),
    /// The response was being streamed for a day, which is as long as any connection is kept.
    #[error("the response took longer than a day")]
    TooLong,
}
