//! What several test programs need.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of this"
)]

use std::path::Path;
use std::sync::Arc;

use asgiref::protocol::websocket;
use asgiref::{
    ChannelLayer, ChannelName, InMemoryChannelLayer, LayerConfig, Map, Message, Value, message,
};
use channels::{Router, Worker};
use serde_json::Value as Json;

/// The reply channel of the connection that [`websocket_message`] comes from.
pub const REPLY: &str = "client!abc";

pub fn name(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

pub fn layer() -> Arc<InMemoryChannelLayer> {
    Arc::new(InMemoryChannelLayer::new())
}

pub fn small_layer(capacity: usize) -> Arc<InMemoryChannelLayer> {
    Arc::new(InMemoryChannelLayer::with_config(
        LayerConfig::new().capacity(capacity),
    ))
}

pub fn worker(layer: &Arc<InMemoryChannelLayer>, router: Router) -> Worker {
    Worker::builder(layer.clone(), router).build().unwrap()
}

/// A frame from a client.
pub fn frame(text: &str) -> Message {
    message! { "reply_channel" => REPLY, "path" => "/chat/", "text" => text, "order" => 1 }
}

pub async fn send(layer: &dyn ChannelLayer, channel: &str, message: Message) {
    layer.send(&name(channel), message).await.unwrap();
}

/// The messages on a channel, all taken.
pub async fn drain(layer: &dyn ChannelLayer, channel: &str) -> Vec<Message> {
    let channels = [name(channel).to_non_local()];
    let mut messages = Vec::new();
    while let Some((_, message)) = layer.try_receive(&channels).await.unwrap() {
        messages.push(message);
    }
    messages
}

/// What the client of [`frame`] was sent.
pub async fn replies(layer: &dyn ChannelLayer) -> Vec<Message> {
    drain(layer, REPLY).await
}

/// Runs `router`'s consumer of `websocket.receive` on one frame and returns the replies.
pub async fn consume(router: Router, text: &str) -> Vec<Message> {
    let layer = layer();
    send(&*layer, websocket::RECEIVE.as_str(), frame(text)).await;
    assert!(worker(&layer, router).run_once().await.unwrap());
    replies(&*layer).await
}

pub fn texts(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| &**message.text("text").unwrap())
        .collect()
}

/// The recorded cases of the original in `tests/vectors/{file}.json`.
pub fn vectors(file: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file)
        .with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap();
    let json: Json = serde_json::from_str(&text).unwrap();
    json["vectors"].as_array().unwrap().clone()
}

/// A message as it is written in the vectors.
pub fn message_from(json: &Json) -> Message {
    let entries = json.as_object().unwrap().iter();
    Message::from(
        entries
            .map(|(key, value)| (key.as_str(), value_from(value)))
            .collect::<Map>(),
    )
}

fn value_from(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match number.as_i64() {
            Some(int) => Value::Int(int),
            None => Value::Float(number.as_f64().unwrap()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value_from).collect(),
        Json::Object(object) => match object.get("$bytes") {
            Some(bytes) => Value::from(bytes.as_str().unwrap().as_bytes()),
            None => Value::from(message_from(json)),
        },
    }
}
