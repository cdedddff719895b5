use std::convert::Infallible;

use asgiref::{ByteString, ChannelName, Message, message};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{ConsumerError, Error, Result};
use crate::extract::FromMessage;
use crate::layers::ChannelLayers;
use crate::params::RouteParams;

/// The channel that answers go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyChannel(pub ChannelName);

/// The text of a WebSocket frame: the message's `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub ByteString);

/// The text of a WebSocket frame, read as JSON; and the way back, [`to_message`](Self::to_message).
///
/// ```
/// use channels::{Context, Json, Outcome};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Question { number: u32 }
///
/// #[derive(Serialize)]
/// struct Answer { square: u64 }
///
/// async fn ws_message(Json(question): Json<Question>, cx: Context) -> Outcome {
///     let answer = Answer { square: u64::from(question.number).pow(2) };
///     cx.reply(Json(answer).to_message()?);
///     Ok(())
/// }
/// # let _: channels::Route = channels::route("websocket.receive", ws_message);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// The whole message, read as a struct: for the messages an application sends itself.
///
/// ```
/// use channels::{ChannelLayers, Content, Message, Outcome};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct ChatMessage { room: String, message: String }
///
/// async fn msg_consumer(Content(chat): Content<ChatMessage>) {
///     println!("{}: {}", chat.room, chat.message);
/// }
///
/// async fn say(layers: &ChannelLayers, chat: &ChatMessage) -> channels::Result<()> {
///     layers.channel("chat-messages")?.send(Message::from_serialize(chat)?).await
/// }
/// # let _: channels::Route = channels::route("chat-messages", msg_consumer);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content<T>(pub T);

impl<T: Serialize> Json<T> {
    /// A text frame with the value as JSON, to be sent to a WebSocket or a group of them.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if the value cannot be written as JSON: a map whose keys are no text, or
    /// an error of its own [`Serialize`].
    pub fn to_message(&self) -> Result<Message> {
        let text = serde_json::to_string(&self.0).map_err(|error| Error::Encode {
            type_name: std::any::type_name::<T>(),
            source: error.into(),
        })?;
        Ok(message! { "text" => text })
    }
}

macro_rules! always_there {
    ($($argument:ty: $from:expr;)*) => {$(
        impl<S: Sync> FromMessage<S> for $argument {
            type Rejection = Infallible;

            async fn from_message(cx: &Context, _state: &S) -> Result<Self, Infallible> {
                let from: fn(&Context) -> &Self = $from;
                Ok(from(cx).clone())
            }
        }
    )*};
}

always_there! {
    Message: Context::message;
    ChannelName: Context::channel_name;
    RouteParams: Context::params;
    ChannelLayers: Context::layers;
}

impl<S: Sync> FromMessage<S> for ReplyChannel {
    type Rejection = ConsumerError;

    async fn from_message(cx: &Context, _state: &S) -> Result<Self, ConsumerError> {
        match cx.reply_channel() {
            Ok(channel) => Ok(Self(channel.clone())),
            Err(error) => Err(invalid("ReplyChannel", error)),
        }
    }
}

impl<S: Sync> FromMessage<S> for Text {
    type Rejection = ConsumerError;

    async fn from_message(cx: &Context, _state: &S) -> Result<Self, ConsumerError> {
        text(cx, "Text").map(|text| Self(text.clone()))
    }
}

impl<S: Sync, T: DeserializeOwned> FromMessage<S> for Json<T> {
    type Rejection = ConsumerError;

    async fn from_message(cx: &Context, _state: &S) -> Result<Self, ConsumerError> {
        match serde_json::from_str(text(cx, "Json")?) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(invalid("Json", error)),
        }
    }
}

impl<S: Sync, T: DeserializeOwned> FromMessage<S> for Content<T> {
    type Rejection = ConsumerError;

    async fn from_message(cx: &Context, _state: &S) -> Result<Self, ConsumerError> {
        match cx.message().deserialize() {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(invalid("Content", error)),
        }
    }
}

fn text<'a>(cx: &'a Context, argument: &'static str) -> Result<&'a ByteString, ConsumerError> {
    let text = cx.message().text("text");
    text.map_err(|error| invalid(argument, error))
}

pub(super) fn invalid(
    argument: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ConsumerError {
    ConsumerError::invalid_message(Error::extract(argument, source))
}
