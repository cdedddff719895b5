use http::Request;

use asgiref::protocol::http::Request as RequestMessage;

use super::body::Body;
use super::request::{Settings, make_request};
use crate::context::Context;
use crate::error::{ConsumerError, Error};
use crate::extract::FromMessage;

/// The request as a consumer's argument, for consumers of `http.request` that read headers or
/// the body. Waits up to 60 seconds for each part of the body.
///
/// ```
/// use channels::http::{Body, respond};
/// use channels::{Context, Outcome};
/// use http::{Request, Response};
/// use http_body_util::BodyExt as _;
///
/// async fn echo(request: Request<Body>, cx: Context) -> Outcome {
///     let body = request.into_body().collect().await?.to_bytes();
///     respond(&cx, Response::new(http_body_util::Full::new(body))).await
/// }
/// # let _ = channels::route::<_, _, ()>("http.request", echo);
/// ```
impl<S: Sync> FromMessage<S> for Request<Body> {
    type Rejection = ConsumerError;

    async fn from_message(cx: &Context, _state: &S) -> Result<Self, ConsumerError> {
        let invalid = |error| ConsumerError::invalid_message(Error::extract("Request", error));
        let message =
            RequestMessage::try_from(cx.message()).map_err(|error| invalid(error.into()))?;
        match make_request(message, cx, &Settings::default()) {
            Ok((request, _)) => Ok(request),
            Err(error) => Err(invalid(asgiref::BoxError::from(error))),
        }
    }
}
