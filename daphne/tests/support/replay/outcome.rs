//! What a case leads to, in terms that two right servers agree on.

use asgiref::{Map, Message, Value};

use crate::support::transcript::{Event, agree};

/// Stands for every reply channel: their names are random.
pub const REPLY_CHANNEL: &str = "test!XXXXXXXXXX";

/// What a step leads to.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Messages with the channels they are sent to.
    pub messages: Vec<(String, Message)>,
    pub events: Vec<Event>,
}

/// What a case leads to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub steps: Vec<Step>,
    pub access_log: Vec<String>,
    /// What came that no step expects.
    pub surplus: Step,
    /// The addresses of both ends in this run, as they stand in messages.
    pub client: Value,
    pub server: Value,
}

/// A refusal whose page contains `text`.
pub fn refusal(status: u16, text: &str) -> Event {
    Event::Refusal {
        status,
        text: text.to_owned(),
    }
}

/// A message without what is random or left open by the specification: the name of the reply
/// channel, the order of different headers, whether an absent value is left out or null.
pub fn comparable(message: Message) -> Message {
    let mut map = Map::new();
    for (key, value) in message.into_map() {
        let value = match (&*key, value) {
            (_, Value::Null) => continue,
            ("reply_channel", _) => Value::from(REPLY_CHANNEL),
            ("headers", Value::List(mut headers)) => {
                headers.sort_by_key(|pair| {
                    let name = pair.as_list().and_then(|pair| pair.first()?.as_bytes());
                    name.cloned().expect("a list of pairs of byte strings")
                });
                Value::List(headers)
            }
            (_, value) => value,
        };
        map.insert(key, value);
    }
    Message::from(map)
}

/// A line of the access log without the size of the server's own pages.
pub fn comparable_line(line: &str) -> String {
    let words: Vec<&str> = line.rsplitn(3, ' ').collect();
    match words[..] {
        [_, status, rest] if status >= "400" => format!("{rest} {status} SIZE"),
        _ => line.to_owned(),
    }
}

/// The first difference in words, `None` if there is none.
pub fn difference(expected: &Outcome, seen: &Outcome) -> Option<String> {
    let mut places: Vec<(String, &Step, &Step)> = expected
        .steps
        .iter()
        .zip(&seen.steps)
        .enumerate()
        .map(|(at, (expected, seen))| (format!("step {}", at + 1), expected, seen))
        .collect();
    places.push((
        "after the last step".into(),
        &expected.surplus,
        &seen.surplus,
    ));
    for (place, expected, seen) in places {
        if expected.messages != seen.messages {
            return Some(format!(
                "{place}: messages differ\n  expected {:?}\n  seen     {:?}",
                expected.messages, seen.messages
            ));
        }
        if !agree(&expected.events, &seen.events) {
            return Some(format!(
                "{place}: what the client sees differs\n  expected {:?}\n  seen     {:?}",
                expected.events, seen.events
            ));
        }
    }
    (expected.access_log != seen.access_log).then(|| {
        format!(
            "the access log differs\n  expected {:?}\n  seen     {:?}",
            expected.access_log, seen.access_log
        )
    })
}
