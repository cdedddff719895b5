//! What axum handlers may take and return with the feature `axum`.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use super::asgi_request::AsgiRequest;
use super::later::ResponseLater;
use super::reply::HttpReplyChannel;

/// Why an axum handler did not get an [`AsgiRequest`]: the request did not come through
/// [`AsgiHandler`](super::AsgiHandler). The client is told 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request did not come through a channel layer; serve the router with `AsgiHandler`")]
#[non_exhaustive]
pub struct NotFromChannelLayer;

impl IntoResponse for NotFromChannelLayer {
    fn into_response(self) -> Response {
        tracing::error!(error = %self, "cannot make the argument of a handler");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// The message behind the request.
impl<S: Sync> FromRequestParts<S> for AsgiRequest {
    type Rejection = NotFromChannelLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotFromChannelLayer> {
        parts.extensions.get().cloned().ok_or(NotFromChannelLayer)
    }
}

/// Where the response goes, for a handler that answers [later](ResponseLater).
impl<S: Sync> FromRequestParts<S> for HttpReplyChannel {
    type Rejection = NotFromChannelLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotFromChannelLayer> {
        parts
            .extensions
            .get()
            .map(AsgiRequest::reply_channel)
            .ok_or(NotFromChannelLayer)
    }
}

impl IntoResponse for ResponseLater {
    fn into_response(self) -> Response {
        self.into()
    }
}
