//! Arguments of consumers, made from the message.

mod message;
mod params;
mod protocol;
mod state;

use std::convert::Infallible;
use std::future::Future;

use crate::context::Context;
use crate::error::ConsumerError;

pub use message::{Content, Json, ReplyChannel, Text};
pub use params::Params;
pub use state::{FromRef, State};

/// Something a consumer can have as an argument.
///
/// [`Context`] is the argument that can do everything; the others ask for one thing and make sure
/// it is there.
///
/// If one cannot be made, the consumer is not called and the rejection is its result. Those of
/// this crate reject with [`ConsumerError::InvalidMessage`]: the worker logs a warning, and
/// answers an `http.request` with 400 and a `websocket.connect` with rejection. A
/// `websocket.receive` gets no answer and the connection stays open (unless
/// [`close_on_error`](crate::WorkerBuilder::close_on_error) is set). So one frame that is binary,
/// not JSON, or JSON of another form than a `Json<T>` asks for is ignored. Asked for as `Option<Json<T>>` it is the consumer's business:
///
/// ```
/// use asgiref::message;
/// use channels::{Context, Json, Outcome};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Move { x: i32, y: i32 }
///
/// async fn ws_move(wanted: Option<Json<Move>>, cx: Context) -> Outcome {
///     let Some(Json(Move { x, y })) = wanted else {
///         cx.reply(message! { "text" => "not a move" });
///         return Ok(());
///     };
///     cx.group("board")?.send(Json((x, y)).to_message()?);
///     Ok(())
/// }
/// # let _: channels::Route = channels::route("websocket.receive", ws_move);
/// ```
///
/// | argument | what it is |
/// |---|---|
/// | [`Context`] | the call: message, reply, groups, channels, captures |
/// | [`Message`](asgiref::Message) | the message |
/// | [`ChannelName`](asgiref::ChannelName) | the channel it came on |
/// | [`ReplyChannel`] | the channel that answers go to |
/// | [`Params<T>`](Params) | what the route captured, as a `T` |
/// | [`RouteParams`](crate::RouteParams) | what the route captured, by name |
/// | [`Text`] | the text of a WebSocket frame |
/// | [`Json<T>`](Json) | the same, from JSON |
/// | [`Content<T>`](Content) | the message as a `T`, for channels of the application's own |
/// | [`websocket::Connect`], [`websocket::Receive`], [`websocket::Frame`], [`websocket::Disconnect`] | the messages of WebSockets, checked |
/// | [`http::Request`], [`http::Disconnect`] | the messages of HTTP, checked |
/// | [`::http::Request<Body>`](crate::http::Body) | an HTTP request with its body |
/// | [`State<T>`](State) | what was given to [`Router::with_state`](crate::Router::with_state) |
/// | [`ChannelLayers`](crate::ChannelLayers) | the program's channel layers |
/// | `Option<T>` | another argument if it can be made |
///
/// [`websocket::Connect`]: asgiref::protocol::websocket::Connect
/// [`websocket::Receive`]: asgiref::protocol::websocket::Receive
/// [`websocket::Frame`]: asgiref::protocol::websocket::Frame
/// [`websocket::Disconnect`]: asgiref::protocol::websocket::Disconnect
/// [`http::Request`]: asgiref::protocol::http::Request
/// [`http::Disconnect`]: asgiref::protocol::http::Disconnect
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a consumer",
    label = "does not implement `FromMessage<{S}>`",
    note = "a `State<T>` needs a router whose state is `T`, or from which `T` can be taken \
            (see `FromRef`)"
)]
pub trait FromMessage<S>: Sized {
    /// Why it could not be made.
    type Rejection: Into<ConsumerError>;

    /// Makes the argument.
    fn from_message(
        cx: &Context,
        state: &S,
    ) -> impl Future<Output = Result<Self, Self::Rejection>> + Send;
}

impl<S: Sync> FromMessage<S> for Context {
    type Rejection = Infallible;

    async fn from_message(cx: &Context, _state: &S) -> Result<Self, Infallible> {
        Ok(cx.clone())
    }
}

impl<S: Sync, T: FromMessage<S>> FromMessage<S> for Option<T> {
    type Rejection = Infallible;

    async fn from_message(cx: &Context, state: &S) -> Result<Self, Infallible> {
        Ok(T::from_message(cx, state).await.ok())
    }
}
