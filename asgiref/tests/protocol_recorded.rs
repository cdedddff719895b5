//! The typed views read what daphne 1.4.2 wrote and what Django Channels 1.1.8 understands.

use asgiref::protocol::{http, websocket};
use asgiref::{Map, Message, Value};
use serde_json::Value as Json;

fn vectors() -> Json {
    serde_json::from_str(include_str!("vectors/protocol_messages.json")).expect("it is JSON")
}

fn messages(kind: &str) -> Vec<Message> {
    let vectors = vectors();
    let recorded = vectors[kind].as_array().expect("there is a list");
    assert!(recorded.len() > 15);
    recorded.iter().map(message).collect()
}

fn message(json: &Json) -> Message {
    match value(json) {
        Value::Map(map) => map.into(),
        other => panic!("{other} is no message"),
    }
}

fn value(json: &Json) -> Value {
    let Json::Object(object) = json else {
        return match json {
            Json::Array(items) => items.iter().map(value).collect(),
            other => serde_json::from_value(other.clone()).expect("it is a plain value"),
        };
    };
    if let Some(Json::String(text)) = object.get("$bytes") {
        return Value::from(text.as_bytes());
    }
    if let Some(Json::String(text)) = object.get("$base64") {
        return Value::from(base64(text));
    }
    let entries = object.iter().map(|(key, json)| (key.as_str(), value(json)));
    Value::from(Map::from_iter(entries))
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let digit = ALPHABET.iter().position(|known| *known == letter);
        bits = bits << 6 | u32::try_from(digit.expect("it is base64")).expect("it is below 64");
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

/// Reads `recorded` and writes it again: every key that says something must come back with its
/// value.
#[track_caller]
fn comes_back<T>(recorded: &Message)
where
    T: for<'a> TryFrom<&'a Message, Error = asgiref::Error> + Into<Message>,
{
    let view = T::try_from(recorded).unwrap_or_else(|error| panic!("{recorded}: {error}"));
    let written: Message = view.into();
    for (key, value) in recorded.iter().filter(|(_, value)| !value.is_null()) {
        assert_eq!(written.get(key), Some(value), "{key} of {recorded}");
    }
}

#[test]
fn what_daphne_sends() {
    let vectors = vectors();
    let mut channels = std::collections::BTreeSet::new();
    for sent in vectors["sent"].as_array().expect("there is a list") {
        let recorded = message(&sent["message"]);
        let channel = sent["channel"].as_str().expect("a channel is text");
        match channel {
            "http.request" => comes_back::<http::Request>(&recorded),
            "http.disconnect" => comes_back::<http::Disconnect>(&recorded),
            "websocket.connect" => comes_back::<websocket::Connect>(&recorded),
            "websocket.receive" => comes_back::<websocket::Receive>(&recorded),
            "websocket.disconnect" => comes_back::<websocket::Disconnect>(&recorded),
            other => panic!("nothing reads {other}"),
        }
        channels.insert(channel);
    }
    assert_eq!(channels.len(), 5);
}

#[test]
fn what_channels_accepts_as_a_request() {
    for recorded in messages("accepted_requests") {
        if let Err(error) = http::Request::try_from(&recorded) {
            panic!("{recorded}: {error}");
        }
    }
}

#[test]
fn responses() {
    for recorded in messages("http_replies") {
        let text = recorded.to_string();
        let read = http::Response::try_from(&recorded);
        // The original breaks on the first and writes the second to the connection.
        let refused = matches!(recorded.get("content"), Some(Value::Text(_)))
            || text.contains(r"\r\nset-cookie");
        assert_eq!(read.is_err(), refused, "{text}");
        let Ok(response) = read else { continue };
        assert_eq!(response.status.is_some(), recorded.contains_key("status"));
        let written = Message::from(response);
        for key in ["status", "content", "more_content"] {
            if let Some(value) = recorded.get(key) {
                assert_eq!(written.get(key), Some(value), "{text}");
            }
        }
    }
}

#[test]
fn replies_to_websockets() {
    for recorded in messages("websocket_replies") {
        let text = recorded.to_string();
        let read = websocket::Reply::try_from(&recorded);
        let both = recorded.contains_key("bytes") && recorded.contains_key("text");
        let wrong_type = matches!(recorded.get("text"), Some(Value::Bytes(_)))
            || matches!(recorded.get("bytes"), Some(Value::Text(_)));
        let code = matches!(recorded.get("close"), Some(Value::Int(999 | 2500 | 5000)));
        // The original refuses the code 1001 and the key `order`; the specification does not.
        let refused = both || wrong_type || code || recorded.contains_key("foo");
        assert_eq!(read.is_err(), refused, "{text}");
        let Ok(reply) = read else { continue };
        assert_eq!(reply.accept, recorded.opt_bool("accept").unwrap(), "{text}");
        let closes = !matches!(recorded.get("close"), None | Some(Value::Bool(false)));
        assert_eq!(reply.close.is_some(), closes, "{text}");
        let carries = recorded.contains_key("text") || recorded.contains_key("bytes");
        assert_eq!(reply.frame.is_some(), carries, "{text}");
    }
}
