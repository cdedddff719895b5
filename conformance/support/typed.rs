//! Messages in JSON that keeps their types: `{"t": "bytes", "v": "00ff"}`.

use asgiref::{Map, Message, Value};
use serde_json::{Value as Json, json};

/// The message that `json` stands for.
pub fn message(json: &Json) -> Message {
    match value(json) {
        Value::Map(map) => Message::from(map),
        other => panic!("{other} is no message"),
    }
}

/// `message` as JSON.
pub fn typed_message(message: &Message) -> Json {
    typed(&Value::from(message))
}

/// The value that `json` stands for.
pub fn value(json: &Json) -> Value {
    let content = &json["v"];
    let text = || content.as_str().expect("text");
    match json["t"].as_str().expect("a type") {
        "nil" => Value::Null,
        "bool" => Value::Bool(content.as_bool().expect("a boolean")),
        "int" => Value::Int(text().parse().expect("a 64-bit integer")),
        "float" => Value::Float(text().parse().expect("a float")),
        "str" => Value::from(text()),
        "bytes" => Value::from(from_hex(text())),
        "list" => content
            .as_array()
            .expect("a list")
            .iter()
            .map(value)
            .collect(),
        "map" => Value::Map(map(content)),
        other => panic!("no type {other}"),
    }
}

/// The bytes that `hex` stands for.
pub fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

/// Two hexadecimal digits for each byte.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn typed(value: &Value) -> Json {
    match value {
        Value::Null => json!({"t": "nil"}),
        Value::Bool(value) => json!({"t": "bool", "v": value}),
        Value::Int(value) => json!({"t": "int", "v": value.to_string()}),
        Value::Float(value) => json!({"t": "float", "v": format!("{value:?}")}),
        Value::Bytes(bytes) => json!({"t": "bytes", "v": to_hex(bytes)}),
        Value::Text(text) => json!({"t": "str", "v": &**text}),
        Value::List(items) => {
            json!({"t": "list", "v": items.iter().map(typed).collect::<Vec<_>>()})
        }
        Value::Map(map) => {
            let entries = map.iter().map(|(key, value)| json!([&**key, typed(value)]));
            json!({"t": "map", "v": entries.collect::<Vec<_>>()})
        }
    }
}

fn map(json: &Json) -> Map {
    let entries = json.as_array().expect("a list of entries").iter();
    entries
        .map(|entry| (entry[0].as_str().expect("a text key"), value(&entry[1])))
        .collect()
}
