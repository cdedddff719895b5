//! What the tests of `channels::http` share: recorded cases of the Python original.

use asgiref::{Bytes, Map, Value};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

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
