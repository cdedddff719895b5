use http::Request;

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
        let (request, _) = make_request(cx, &Settings::default())
            .map_err(|error| ConsumerError::invalid_message(Error::extract("Request", error)))?;
        Ok(request)
    }
}
