//! What the tests of `channels::http` share: recorded cases of the Python original, and a worker to
//! try them on.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use asgiref::protocol::http::{BodyChunk, Request, Response as ResponsePart};
use asgiref::{Bytes, ChannelLayer as _, ChannelName, InMemoryChannelLayer, Map, Message, Value};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use channels::{Consumer, Router, Worker, route};

/// The cases of a recording.
pub(crate) fn vectors(json: &str) -> Vec<serde_json::Value> {
    let mut file: serde_json::Value = serde_json::from_str(json).expect("a JSON file");
    match file["vectors"].take() {
        serde_json::Value::Array(vectors) => vectors,
        other => panic!("`vectors` is {other}"),
    }
}

/// A recorded value: JSON, with byte strings as `{"$bytes": text}`, `{"$base64": text}` or
/// `{"$repeat": [text, times]}`.
pub(crate) fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Int(number.as_i64().expect("an integer")),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(entries) => match bytes(json) {
            Some(bytes) => Value::Bytes(bytes),
            None => Value::Map(map(entries)),
        },
    }
}

/// A recorded map.
pub(crate) fn map(entries: &serde_json::Map<String, serde_json::Value>) -> Map {
    entries
        .iter()
        .map(|(key, json)| (key.clone(), value(json)))
        .collect()
}

fn bytes(json: &serde_json::Value) -> Option<Bytes> {
    if let Some(text) = json.get("$bytes") {
        return Some(Bytes::from(text.as_str()?.to_owned()));
    }
    if let Some(text) = json.get("$base64") {
        return Some(BASE64_STANDARD.decode(text.as_str()?).ok()?.into());
    }
    let [text, times] = json.get("$repeat")?.as_array()?.as_slice() else {
        return None;
    };
    let times = usize::try_from(times.as_u64()?).ok()?;
    Some(text.as_str()?.repeat(times).into())
}

/// A worker with one consumer, and the protocol server's side of it.
pub(crate) struct Site {
    pub(crate) layer: Arc<InMemoryChannelLayer>,
    pub(crate) worker: Worker,
}

/// Where the answers go that [`Site`] waits for.
pub(crate) const REPLY_CHANNEL: ChannelName = ChannelName::from_static("test.response!x");

impl Site {
    pub(crate) fn new<Args: 'static>(consumer: impl Consumer<Args>) -> Self {
        Self::on(InMemoryChannelLayer::new(), consumer)
    }

    pub(crate) fn on<Args: 'static>(
        layer: InMemoryChannelLayer,
        consumer: impl Consumer<Args>,
    ) -> Self {
        let layer = Arc::new(layer);
        let router = Router::new().route(route("http.request", consumer));
        let worker = Worker::builder(layer.clone(), router).build();
        Self {
            layer,
            worker: worker.expect("a worker"),
        }
    }

    /// Sends a request and has it consumed.
    pub(crate) async fn consume(&self, request: impl Into<Message>) {
        self.send("http.request", request).await;
        assert!(self.worker.run_once().await.expect("a working layer"));
    }

    pub(crate) async fn send(&self, channel: &str, message: impl Into<Message>) {
        let channel = ChannelName::new(channel.to_owned()).expect("a channel name");
        let sent = self.layer.send(&channel, message.into()).await;
        sent.expect("room on the channel");
    }

    /// The next message of the answer, which is waited for.
    pub(crate) async fn reply(&self) -> ResponsePart {
        let channels = [REPLY_CHANNEL.to_non_local()];
        let received = tokio::time::timeout(Duration::from_secs(300), async {
            self.layer.receive(&channels).await.expect("a message")
        });
        let (_, message) = received.await.expect("an answer in time");
        ResponsePart::try_from(&message).expect("a part of a response")
    }

    /// What has been answered and not looked at yet.
    pub(crate) async fn replies(&self) -> Vec<ResponsePart> {
        let channels = [REPLY_CHANNEL.to_non_local()];
        let mut replies = Vec::new();
        while let Some((_, message)) = self.layer.try_receive(&channels).await.expect("a layer") {
            replies.push(ResponsePart::try_from(&message).expect("a part of a response"));
        }
        replies
    }

    /// Sends a request and returns the status and the text it is answered with.
    pub(crate) async fn text(&self, request: impl Into<Message>) -> (u16, String) {
        self.consume(request).await;
        let replies = self.replies().await;
        let status = replies.first().and_then(|first| first.status);
        let content: Vec<u8> = replies
            .iter()
            .flat_map(|part| part.content.clone())
            .collect();
        assert!(!replies.last().expect("an answer").more_content);
        (
            status.expect("a status"),
            String::from_utf8(content).expect("text"),
        )
    }
}

/// A request without body, to be answered to [`REPLY_CHANNEL`].
pub(crate) fn get(path: &str) -> Request {
    Request::new(REPLY_CHANNEL, "GET", path)
}

/// A request whose body comes on `http.request.body?x`.
pub(crate) fn upload(path: &str) -> Request {
    Request {
        body_channel: Some(ChannelName::from_static(BODY_CHANNEL)),
        ..Request::new(REPLY_CHANNEL, "POST", path)
    }
}

/// Where the body of an [`upload`] comes.
pub(crate) const BODY_CHANNEL: &str = "http.request.body?x";

/// A part of a body.
pub(crate) fn chunk(content: impl Into<Bytes>, more_content: bool) -> BodyChunk {
    BodyChunk {
        content: content.into(),
        more_content,
        ..BodyChunk::default()
    }
}
