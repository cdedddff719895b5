use std::convert::Infallible;

use asgiref::{ByteString, ChannelName, Message};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{ConsumerError, Error};
use crate::extract::FromMessage;
use crate::layers::ChannelLayers;
use crate::params::RouteParams;

/// The channel that answers go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyChannel(pub ChannelName);

/// The text of a WebSocket frame: the message's `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub ByteString);

/// The text of a WebSocket frame, read as JSON.
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
