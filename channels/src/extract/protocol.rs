//! Messages of the protocols, read and checked, as arguments.

use asgiref::protocol::{http, websocket};

use crate::context::Context;
use crate::error::ConsumerError;
use crate::extract::FromMessage;
use crate::extract::message::invalid;

macro_rules! read_from_message {
    ($($type:ty: $name:literal;)*) => {$(
        impl<S: Sync> FromMessage<S> for $type {
            type Rejection = ConsumerError;

            async fn from_message(cx: &Context, _state: &S) -> Result<Self, ConsumerError> {
                Self::try_from(cx.message()).map_err(|error| invalid($name, error))
            }
        }
    )*};
}

read_from_message! {
    http::Request: "http::Request";
    http::Disconnect: "http::Disconnect";
    websocket::Connect: "websocket::Connect";
    websocket::Receive: "websocket::Receive";
    websocket::Disconnect: "websocket::Disconnect";
}

impl<S: Sync> FromMessage<S> for websocket::Frame {
    type Rejection = ConsumerError;

    async fn from_message(cx: &Context, _state: &S) -> Result<Self, ConsumerError> {
        match websocket::Receive::try_from(cx.message()) {
            Ok(receive) => Ok(receive.frame),
            Err(error) => Err(invalid("websocket::Frame", error)),
        }
    }
}
