//! Recorded cases of the original server, as JSON files.
//!
//! Byte strings are `{"$bytes": "latin-1 text"}` or `{"$base64": "…"}`; long runs of bytes that
//! were not recorded are `{"$len": n}`; everything else is plain JSON.

use asgiref::{Map, Message, Value};
use base64::Engine as _;
use serde_json::Value as Json;

/// One recorded case.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub options: Json,
    pub steps: Vec<Json>,
    pub access_log: Vec<String>,
}

/// The cases in `file`, of which there must be `count`.
pub fn load(file: &str, count: usize) -> Vec<Case> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let json: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let cases: Vec<Case> = json["vectors"]
        .as_array()
        .expect("a list of cases")
        .iter()
        .map(|case| Case {
            name: case["name"].as_str().expect("a name").to_owned(),
            options: case["options"].clone(),
            steps: case["steps"].as_array().expect("a list of steps").clone(),
            access_log: case["access_log"]
                .as_array()
                .expect("a list of lines")
                .iter()
                .map(|line| line.as_str().expect("a line").to_owned())
                .collect(),
        })
        .collect();
    assert_eq!(cases.len(), count, "number of cases in {file}");
    cases
}

/// The bytes a JSON value stands for, `None` if it stands for something else.
pub fn bytes(json: &Json) -> Option<Vec<u8>> {
    let object = json.as_object()?;
    if let Some(text) = object.get("$bytes") {
        let latin1 = text.as_str().expect("$bytes is text").chars();
        return Some(
            latin1
                .map(|char| u8::try_from(u32::from(char)).expect("$bytes is Latin-1"))
                .collect(),
        );
    }
    let base64 = object.get("$base64")?.as_str().expect("$base64 is text");
    Some(
        base64::engine::general_purpose::STANDARD
            .decode(base64)
            .expect("$base64 is base 64"),
    )
}

/// A recorded value as the value of a message.
pub fn value(json: &Json) -> Value {
    if let Some(bytes) = bytes(json) {
        return Value::from(bytes);
    }
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Int(number.as_i64().expect("an integer")),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(_) => Value::Map(map(json)),
    }
}

/// A recorded message.
pub fn message(json: &Json) -> Message {
    Message::from(map(json))
}

fn map(json: &Json) -> Map {
    json.as_object()
        .unwrap_or_else(|| panic!("no message: {json}"))
        .iter()
        .map(|(key, json)| (key.as_str(), value(json)))
        .collect()
}
