use http::{Response, StatusCode};

/// Says that a request will be answered later, from somewhere else.
///
/// A service that returns a response with `ResponseLater` among its extensions is taken to have
/// kept the [`HttpReplyChannel`](super::HttpReplyChannel): [`AsgiHandler`](super::AsgiHandler) sends
/// nothing. The answer may then come from another task, from a consumer that waits for an event,
/// or from another process: long polling without holding a worker.
///
/// The protocol server waits for its HTTP timeout (120 seconds in daphne, unless configured) and
/// then answers 503 itself.
///
/// The response made from it (`202 Accepted`, empty) is what middleware around the service gets
/// to see; no client does.
///
/// ```
/// use channels::http::{AsgiRequest, ResponseLater};
///
/// async fn wait_for_news(
///     request: axum::Extension<AsgiRequest>,
/// ) -> axum::response::Response {
///     let reply_channel = request.reply_channel();
///     tokio::spawn(async move {
///         let response = http::Response::new("news".to_owned());
///         if let Err(error) = reply_channel.respond(response).await {
///             tracing::warn!(%error, "no answer to the long poll");
///         }
///     });
///     ResponseLater.into()
/// }
/// # let _ = axum::Router::<()>::new().route("/", axum::routing::get(wait_for_news));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "HttpResponseLater")]
#[expect(
    clippy::exhaustive_structs,
    reason = "it is a mark and will never hold anything"
)]
pub struct ResponseLater;

impl<B: Default> From<ResponseLater> for Response<B> {
    fn from(mark: ResponseLater) -> Self {
        let mut response = Self::default();
        *response.status_mut() = StatusCode::ACCEPTED;
        response.extensions_mut().insert(mark);
        response
    }
}
