//! Recorded cases, made fit for a run on this machine.

use std::net::SocketAddr;

use asgiref::{Message, Value};
use serde_json::Value as Json;

use super::outcome::{Outcome, Step, comparable, comparable_line};
use crate::support::frames::Frame;
use crate::support::transcript::{Decoder, recorded};
use crate::support::vectors::{self, Case};

/// What bytes are filled with of which only the number was recorded.
const FILLER: u8 = b'x';
/// The addresses in the recordings.
const CLIENTS: [(&str, i64); 2] = [("192.168.1.1", 54321), ("::1", 5555)];
const SERVERS: [(&str, i64); 2] = [("10.0.0.1", 12345), ("::1", 8000)];

/// What was recorded for `case`, with the addresses of this run.
pub fn outcome(case: &Case, client: SocketAddr, server: SocketAddr) -> Outcome {
    let mut decoder = Decoder::default();
    let steps = case.steps.iter().map(|step| {
        if let Some(fed) = step.get("feed") {
            decoder.sent(&feed(fed));
        }
        let messages = step["messages"].as_array().into_iter().flatten();
        Step {
            messages: messages
                .map(|pair| {
                    let channel = pair[0].as_str().expect("a channel").to_owned();
                    let message = vectors::message(&expand(&pair[1]));
                    (channel, comparable(localise(message, client, server)))
                })
                .collect(),
            events: recorded(&mut decoder, step),
        }
    });
    Outcome {
        steps: steps.collect(),
        access_log: case
            .access_log
            .iter()
            .map(|line| comparable_line(line))
            .collect(),
        surplus: Step::default(),
        client: socket_address(client),
        server: socket_address(server),
    }
}

/// The bytes a step feeds. Two recordings give only a length.
pub fn feed(json: &Json) -> Vec<u8> {
    match json["$len"].as_u64() {
        Some(17_035) => format!(
            "GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "a".repeat(17_000)
        )
        .into_bytes(),
        Some(200_014) => Frame::binary(vec![FILLER; 200_000]).masked(),
        Some(other) => panic!("a feed of {other} bytes that were not recorded"),
        None => vectors::bytes(json).expect("fed bytes"),
    }
}

/// A recorded message in which bytes known only by their number are filled in.
pub fn expand(json: &Json) -> Json {
    let mut json = json.clone();
    if let Some(object) = json.as_object_mut() {
        for value in object.values_mut() {
            if let Some(length) = value["$len"].as_u64() {
                let bytes = char::from(FILLER).to_string().repeat(length as usize);
                *value = serde_json::json!({ "$bytes": bytes });
            }
        }
    }
    json
}

fn localise(mut message: Message, client: SocketAddr, server: SocketAddr) -> Message {
    for (key, recorded, here) in [("client", CLIENTS, client), ("server", SERVERS, server)] {
        let recorded = recorded.map(|(host, port)| address(host, port));
        if message
            .get(key)
            .is_some_and(|value| recorded.contains(value))
        {
            message.insert(key, socket_address(here));
        }
    }
    message
}

fn socket_address(addr: SocketAddr) -> Value {
    address(&addr.ip().to_string(), addr.port())
}

fn address(host: &str, port: impl Into<Value>) -> Value {
    Value::from(vec![Value::from(host), port.into()])
}
