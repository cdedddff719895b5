//! Replays what was recorded of the original server's WebSocket side.

mod support;

use asgiref::{Message, Value, message};
use support::frames::Frame;
use support::replay::outcome::{Outcome, REPLY_CHANNEL, Step, refusal};
use support::replay::{Deviation, replay};
use support::transcript::Event;

/// How many cases there are; none may get lost.
const CASES: usize = 63;

/// Changes all `websocket.connect` messages.
fn change_connect(outcome: &mut Outcome, change: impl Fn(&mut Message)) {
    for step in &mut outcome.steps {
        for (channel, message) in &mut step.messages {
            if channel == "websocket.connect" {
                change(message);
            }
        }
    }
}

/// Puts other headers in the place of those called `name` of the `websocket.connect` message.
fn change_headers(outcome: &mut Outcome, name: &str, values: &[&str]) {
    change_connect(outcome, |message| {
        let headers = message.list("headers").expect("a list").iter();
        let mut headers: Vec<Value> = headers
            .filter(|pair| {
                let known = pair.as_list().and_then(|pair| pair[0].as_bytes());
                *known.expect("a pair of byte strings") != *name
            })
            .cloned()
            .collect();
        for value in values {
            let pair = [name, value].map(|text| Value::from(text.as_bytes()));
            headers.push(Value::from(pair));
        }
        headers.sort_by_key(|pair| {
            let known = pair.as_list().and_then(|pair| pair[0].as_bytes());
            known.cloned().expect("a pair of byte strings")
        });
        message.insert("headers", Value::List(headers));
    });
}

/// The message that says that the connection is gone.
fn disconnect(code: u16, order: i64) -> (String, Message) {
    let message = message! {
        "reply_channel" => REPLY_CHANNEL,
        "code" => code,
        "path" => "/chat",
        "order" => order,
    };
    ("websocket.disconnect".to_owned(), message)
}

/// In the last step but one the client breaks the protocol, and the server closes with `code`.
fn close_with(outcome: &mut Outcome, code: u16) {
    let [.., breach, end] = &mut outcome.steps[..] else {
        panic!("too few steps")
    };
    breach.events.insert(0, Event::Frame(Frame::close(code)));
    end.messages = vec![disconnect(code, 1)];
}

/// The invalid reply of step 2 has no effect.
fn ignore_second_step(outcome: &mut Outcome) {
    outcome.steps[1] = Step::default();
    outcome.access_log.truncate(1);
}

const DEVIATIONS: &[Deviation] = &[
    Deviation {
        cases: &[],
        reason: "connect messages have the keys scheme and root_path, as the format says",
        apply: |outcome| {
            change_connect(outcome, |message| {
                message.insert("scheme", "ws");
                message.insert("root_path", "");
            });
        },
    },
    Deviation {
        cases: &["root_path set"],
        reason: "the configured root path is the one of WebSockets as well",
        apply: |outcome| {
            change_connect(outcome, |message| {
                message.insert("root_path", "/foo");
            });
        },
    },
    Deviation {
        cases: &["xff"],
        reason: "X-Forwarded-Proto says whether a WebSocket is encrypted",
        apply: |outcome| {
            change_connect(outcome, |message| {
                message.insert("scheme", "wss");
            });
        },
    },
    Deviation {
        cases: &["dup hdrs, underscore"],
        reason: "repeated headers stay separate: joined by commas, cookies are spoilt",
        apply: |outcome| {
            change_headers(outcome, "x-a", &["1", "2"]);
            change_headers(outcome, "cookie", &["a=1", "b=2"]);
        },
    },
    Deviation {
        cases: &["dup hdrs, underscore"],
        reason: "Daphne-Root-Path is for the server, and of trusted proxies alone",
        apply: |outcome| change_headers(outcome, "daphne-root-path", &[]),
    },
    Deviation {
        cases: &["subproto twice"],
        reason: "repeated headers stay separate",
        apply: |outcome| change_headers(outcome, "sec-websocket-protocol", &["a", "b"]),
    },
    Deviation {
        cases: &["accept + echo + client close"],
        reason: "a close frame is answered with its own code (RFC 6455, section 5.5.1)",
        apply: |outcome| {
            outcome.steps[6].events = vec![Event::Frame(Frame::close(1001)), Event::Closed];
        },
    },
    Deviation {
        cases: &["client close no code"],
        reason: "a close frame without a code is answered by one, and reported as 1005",
        apply: |outcome| {
            let close = Frame::new(support::frames::CLOSE, []);
            outcome.steps[2].events = vec![Event::Frame(close), Event::Closed];
            outcome.steps[3].messages = vec![disconnect(1005, 1)];
        },
    },
    Deviation {
        cases: &["accept + empty text"],
        reason: "an application can send an empty frame",
        apply: |outcome| {
            let frame = Event::Frame(Frame::text(""));
            outcome.steps[1].events.push(frame);
        },
    },
    Deviation {
        cases: &["both bytes text connecting w/ accept"],
        reason: "an invalid reply is ignored as a whole, and does not accept",
        apply: ignore_second_step,
    },
    Deviation {
        cases: &["order key in reply"],
        reason: "an application may send back the message it received",
        apply: |outcome| {
            outcome.steps[2].events = vec![Event::Frame(Frame::text("b"))];
        },
    },
    Deviation {
        cases: &["close 1001"],
        reason: "every close code of RFC 6455 can be sent",
        apply: |outcome| {
            outcome.steps[2].events = vec![Event::Frame(Frame::close(1001))];
        },
    },
    Deviation {
        cases: &["text after accept False"],
        reason: "the recording stops before the disconnect message that follows every rejection",
        apply: |outcome| {
            outcome.steps[1].messages = vec![disconnect(1006, 1)];
            let line = "192.168.1.1:54321 - - [DATE] \"WSDISCONNECT /chat\" - -";
            outcome.access_log.push(line.to_owned());
        },
    },
    Deviation {
        cases: &["frames before accept"],
        reason: "frames sent with the handshake are not lost",
        apply: |outcome| {
            let (channel, second) = outcome.steps[2].messages[0].clone();
            let mut first = second.clone();
            first.insert("text", "early");
            let mut second = second;
            second.insert("order", 2);
            outcome.steps[2].messages = vec![(channel.clone(), first), (channel, second)];
        },
    },
    Deviation {
        cases: &["client close bad code", "unmasked", "bad opcode", "rsv"],
        reason: "a breach of the protocol is answered with 1002 (RFC 6455, section 7.4.1)",
        apply: |outcome| close_with(outcome, 1002),
    },
    Deviation {
        cases: &["bad utf8"],
        reason: "text that is not UTF-8 is answered with 1007 (RFC 6455, section 8.1)",
        apply: |outcome| close_with(outcome, 1007),
    },
    Deviation {
        cases: &["HTTP/1.0"],
        reason: "a handshake takes HTTP/1.1 (RFC 6455, section 4.1)",
        apply: |outcome| {
            outcome.steps[0] = Step {
                messages: Vec::new(),
                events: vec![refusal(400, ""), Event::Closed],
            };
            outcome.access_log.clear();
        },
    },
    Deviation {
        cases: &["path nonascii"],
        reason: "no disconnect for a request the application never heard of",
        apply: |outcome| {
            outcome.steps[0].messages.clear();
            outcome.steps[0].events.push(Event::Closed);
        },
    },
    Deviation {
        cases: &["disconnect full"],
        reason: "a disconnect message that finds its channel full is sent when there is room",
        apply: |outcome| outcome.surplus.messages = vec![disconnect(1000, 1)],
    },
    Deviation {
        cases: &["receive full"],
        reason: "the application learns of the end of a connection that it could not follow",
        apply: |outcome| outcome.surplus.messages = vec![disconnect(1013, 1)],
    },
    Deviation {
        cases: &["connect timeout -1"],
        reason: "-1 is no timeout, as the help of the original says",
        apply: |outcome| {
            outcome.steps[2] = Step::default();
            outcome.access_log.remove(1);
        },
    },
];

#[tokio::test]
async fn recorded_websocket_cases() {
    replay("daphne_ws.json", CASES, DEVIATIONS).await;
}
