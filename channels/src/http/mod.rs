//! HTTP requests for consumers: by any [`tower::Service`] such as an axum router, or by hand.
//!
//! | | |
//! |---|---|
//! | [`AsgiHandler`] | a consumer of `http.request` made from a service |
//! | [`AsgiRequest`] | the message behind a request, among the request's extensions |
//! | [`Body`] | a request's body, read from the body channel on demand; `Request<Body>` can be a consumer's argument |
//! | [`ResponseLater`] | says that the answer will come from somewhere else |
//! | [`HttpReplyChannel`] | where it then goes |
//! | [`respond`], [`encode_response`] | for consumers that answer by hand |
//!
//! With this crate's feature `axum`, axum handlers can take [`AsgiRequest`] and
//! [`HttpReplyChannel`] as arguments and return [`ResponseLater`]; without it they have
//! `Extension<AsgiRequest>` and `ResponseLater.into()`.
//!
//! # Where it differs from Channels for Django
//!
//! * Bodies are streamed in both directions. The whole upload need not arrive within 60 seconds;
//!   each part of it must.
//! * Names of response headers are in lower case, and those of one name stand together.
//! * A mount point is cut off the path only where a segment ends, and what is left is never
//!   empty: `/app` below `/app` is `/`.
//! * Several `cookie` fields become one, joined with `; ` and not with `,`.
//! * Bytes a URI cannot hold are percent-encoded in the query; a query that is not UTF-8 is
//!   refused with 400, as there.
//! * A response whose body fails half-way breaks the connection off instead of leaving the client
//!   waiting (see the key `closed` of [`asgiref::protocol::http::Response`]).
//! * A response that is being streamed ends when its client goes away, whichever worker is told.
//! * A response is given up when the reply channel has been full for 60 seconds. There, the
//!   worker tries for ever.

mod asgi_request;
#[cfg(feature = "axum")]
mod axum;
mod body;
mod encode;
mod error;
mod extract;
mod handler;
mod headers;
mod later;
mod reply;
mod request;
mod sender;
mod streams;
mod uri;

pub use asgi_request::AsgiRequest;
#[cfg(feature = "axum")]
pub use axum::NotFromChannelLayer;
pub use body::Body;
pub use encode::{Messages, ResponseMessages, encode_response};
pub use error::{BodyError, RequestError, RespondError, RespondErrorKind};
pub use handler::{AsgiHandler, ServiceArgs};
pub use later::ResponseLater;
pub use reply::{HttpReplyChannel, respond};

pub(crate) use streams::Streams;
