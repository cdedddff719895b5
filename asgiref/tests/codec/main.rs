//! The MessagePack codec: the same bytes as the Python layers, and nothing from outside that can
//! hurt.

mod channel;
mod encrypted;
mod hostile;
mod limits;
mod properties;
mod vectors;

use asgiref::codec::Codec;
use asgiref::{Bytes, Map, Message, Result, Value};

fn decode(bytes: impl Into<Bytes>) -> Result<Message> {
    Codec::new().decode(bytes.into())
}

fn unhex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "{digits}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// A value in the form of the test vectors: `{"t": type, "v": value}`, numbers as decimal text,
/// byte strings as hexadecimal digits, maps as lists of pairs.
fn typed(json: &serde_json::Value) -> Value {
    let value = &json["v"];
    let text = || value.as_str().unwrap();
    match json["t"].as_str().unwrap() {
        "nil" => Value::Null,
        "bool" => Value::Bool(value.as_bool().unwrap()),
        "int" => Value::Int(text().parse().unwrap()),
        "float" => Value::Float(text().parse().unwrap()),
        "str" => Value::from(text()),
        "bytes" => Value::from(unhex(text())),
        "list" => value.as_array().unwrap().iter().map(typed).collect(),
        "map" => {
            let pairs = value.as_array().unwrap().iter();
            Value::Map(
                pairs
                    .map(|pair| (pair[0].as_str().unwrap(), typed(&pair[1])))
                    .collect(),
            )
        }
        other => panic!("{other}"),
    }
}

fn message(value: Value) -> Message {
    match value {
        Value::Map(map) => Message::from(map),
        other => panic!("{other} is no message"),
    }
}

/// A message whose only value is nested in `lists` lists.
fn nested(lists: usize) -> Message {
    let mut value = Value::Null;
    for _ in 0..lists {
        value = Value::List(vec![value]);
    }
    Message::from(Map::from_iter([("a", value)]))
}
