use std::fmt;
use std::pin::pin;
use std::time::Duration;

use asgiref::{BoxError, Bytes};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Either;
use tower::{Service, ServiceExt as _};

use super::body::{Body, Ending};
use super::encode::encode_response;
use super::error::RequestError;
use super::later::ResponseLater;
use super::request::{Settings, make_request};
use super::sender::Sender;
use crate::consumer::Consumer;
use crate::context::Context;
use crate::error::{ConsumerError, Outcome};

/// A consumer of `http.request` made from a [`tower::Service`], normally an `axum::Router`.
///
/// It is the default handler of HTTP: what no route takes comes here, as in Django it comes to
/// the views. So an axum application gains WebSockets and groups by being wrapped, not rewritten.
/// Everything an axum handler may take and return works, streams in both directions included.
///
/// ```
/// use axum::{Router, routing::get};
/// use channels::http::AsgiHandler;
///
/// let pages = Router::new().route("/", get(|| async { "Hello world!" }));
/// let handler = AsgiHandler::new(pages.with_state(()));
/// ```
///
/// (`with_state(())` makes axum prepare its routes once instead of for each request, as
/// `axum::serve` does by itself.)
///
/// # What the service sees
///
/// * The path below the mount point, percent-encoded again. A `%2F` in the original has become
///   `/`: the message format holds decoded paths. [`AsgiRequest`](super::AsgiRequest), among the
///   extensions, has the rest of the message.
/// * The body as it arrives; see [`Body`].
///
/// # What the client sees
///
/// * 400 or 414 instead of a request that is none; see [`RequestError`](super::RequestError).
/// * 408 if it sends nothing for [`body_timeout`](Self::body_timeout) and 413 if it sends more
///   than [`max_body_size`](Self::max_body_size): these take the place of any error status with
///   which the service answers the broken body. A service that makes a success of it is heard.
/// * 500 if the service fails or panics.
/// * Nothing if it went away during its upload, or if the service says
///   [`ResponseLater`].
/// * A broken connection if the response's body fails after the status was sent.
///
/// A response that is being streamed ends, and its body is dropped, when the client goes away; see
/// [`HttpReplyChannel`](super::HttpReplyChannel).
#[derive(Clone)]
#[doc(alias = "ViewConsumer")]
pub struct AsgiHandler<T> {
    service: T,
    settings: Settings,
}

impl<T> AsgiHandler<T> {
    /// Makes a consumer of `service`, which is cloned for each request.
    pub fn new<B>(service: T) -> Self
    where
        T: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>>,
        T: Clone + Send + Sync + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
    {
        Self {
            service,
            settings: Settings::default(),
        }
    }

    /// Sets how long the service waits for the next part of a request body; 60 seconds unless
    /// set. (The original limits the whole upload to 60 seconds, however large it is.)
    #[must_use]
    #[doc(alias = "body_receive_timeout")]
    pub const fn body_timeout(mut self, limit: Duration) -> Self {
        self.settings.body.timeout = limit;
        self
    }

    /// Sets the largest request body in bytes; none unless set. Extractors that gather a body in
    /// memory have limits of their own: axum's take 2 MB.
    #[must_use]
    pub const fn max_body_size(mut self, limit: u64) -> Self {
        self.settings.body.size = Some(limit);
        self
    }

    /// Sets how long each message of a response waits while the reply channel is full; 60
    /// seconds unless set. Then the response is given up, so that a server that is gone cannot
    /// hold a worker for ever.
    #[must_use]
    pub const fn send_timeout(mut self, limit: Duration) -> Self {
        self.settings.send_timeout = limit;
        self
    }

    /// What the client is answered, if anything.
    async fn answer<B>(&self, cx: &Context) -> Result<Option<Answer<B>>, ConsumerError>
    where
        T: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>>,
        T: Clone + Send + Sync + 'static,
        T::Future: Send,
        B: http_body::Body<Data = Bytes> + Send,
    {
        let (request, body) = match make_request(cx, &self.settings) {
            Ok(request) => request,
            Err(error @ (RequestError::Malformed(_) | RequestError::NoReplyChannel)) => {
                return Err(ConsumerError::invalid_message(error));
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "request refused");
                return Ok(Some(plain(error.status(), error.to_string())));
            }
        };
        let response = self.service.clone().oneshot(request).await;
        let response = response.map_err(ConsumerError::failed)?;
        if response.extensions().get::<ResponseLater>().is_some() {
            cx.answer_later();
            return Ok(None);
        }
        let failed = response.status().is_client_error() || response.status().is_server_error();
        Ok(match body.map_or(Ending::Regular, |body| body.ending()) {
            Ending::Closed => {
                tracing::debug!("the client went away during its upload");
                cx.answer_later();
                None
            }
            Ending::TimedOut if failed => Some(plain(
                StatusCode::REQUEST_TIMEOUT,
                "the upload was too slow",
            )),
            Ending::TooLarge if failed => Some(plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the upload was too large",
            )),
            Ending::Regular | Ending::TimedOut | Ending::TooLarge => {
                Some(response.map(Either::Left))
            }
        })
    }
}

/// The service's response, or one in its place.
type Answer<B> = Response<Either<B, String>>;

impl<T, B, S> Consumer<ServiceArgs, S> for AsgiHandler<T>
where
    T: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>>,
    T: Clone + Send + Sync + 'static,
    T::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send,
    S: Sync,
{
    async fn call(&self, cx: Context, _state: &S) -> Outcome {
        let Some(answer) = self.answer(&cx).await? else {
            return Ok(());
        };
        let messages = pin!(encode_response(answer));
        let sender = Sender::of(&cx, self.settings.send_timeout)?;
        Ok(sender.send_all(messages).await?)
    }
}

/// Tells consumers made of a service from functions; see [`Consumer`].
#[derive(Debug)]
#[non_exhaustive]
pub struct ServiceArgs;

impl<T> fmt::Debug for AsgiHandler<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsgiHandler")
            .field("service", &std::any::type_name::<T>())
            .field("settings", &self.settings)
            .finish()
    }
}

/// A page in plain text.
fn plain<B>(status: StatusCode, text: impl Into<String>) -> Answer<B> {
    let mut response = Response::new(Either::Right(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
