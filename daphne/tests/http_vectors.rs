//! Replays what was recorded of the original server's HTTP side.

mod support;

use asgiref::{Message, Value, message};
use support::replay::outcome::{Outcome, REPLY_CHANNEL, Step, refusal};
use support::replay::{Deviation, replay};
use support::transcript::Event;

/// How many cases there are; none may get lost.
const CASES: usize = 52;

/// The message step `step` leads to.
fn message_of(outcome: &mut Outcome, step: usize) -> &mut Message {
    &mut outcome.steps[step].messages[0].1
}

/// Step `step` leads to nothing but a refusal that ends the connection.
fn refuse(outcome: &mut Outcome, step: usize, status: u16) {
    outcome.steps[step].messages.clear();
    outcome.steps[step].events = vec![refusal(status, ""), Event::Closed];
}

/// Step 0 leads to nothing but the message of a plain GET request.
fn expect_request(outcome: &mut Outcome, path: &str) {
    let host = [Value::from(b"host"), Value::from(b"a.example")];
    let request = message! {
        "reply_channel" => REPLY_CHANNEL,
        "http_version" => "1.1",
        "method" => "GET",
        "scheme" => "http",
        "path" => path,
        "query_string" => b"",
        "root_path" => "",
        "headers" => [Value::from(host)],
        "body" => b"",
        "client" => outcome.client.clone(),
        "server" => outcome.server.clone(),
    };
    outcome.steps[0] = Step {
        messages: vec![("http.request".to_owned(), request)],
        events: Vec::new(),
    };
}

/// The access log has one line, about `request`, which the server answered itself.
fn log_only(outcome: &mut Outcome, request: &str, status: u16) {
    let line = format!("192.168.1.1:54321 - - [DATE] \"{request}\" {status} SIZE");
    outcome.access_log = vec![line];
}

const DEVIATIONS: &[Deviation] = &[
    Deviation {
        cases: &["get 1.0 keepalive"],
        reason: "a client of HTTP/1.0 that asks for it and gets a length keeps its connection",
        apply: |outcome| {
            let events = &mut outcome.steps[1].events;
            events.retain(|event| *event != Event::Closed);
        },
    },
    Deviation {
        cases: &["no host 1.1"],
        reason: "HTTP/1.1 requires a Host header (RFC 9112, section 3.2)",
        apply: |outcome| {
            refuse(outcome, 0, 400);
            outcome.steps[1] = Step::default();
            log_only(outcome, "GET /", 400);
        },
    },
    Deviation {
        cases: &["abs uri"],
        reason: "the path of an absolute target is its path (RFC 9112, section 3.2.2)",
        apply: |outcome| {
            message_of(outcome, 0).insert("path", "/x");
        },
    },
    Deviation {
        cases: &["folded header"],
        reason: "folded header lines are refused (RFC 9112, section 5.2); the original hangs",
        apply: |outcome| refuse(outcome, 0, 400),
    },
    Deviation {
        cases: &["http/2.0 str"],
        reason: "a version that is not spoken is refused",
        apply: |outcome| refuse(outcome, 0, 400),
    },
    Deviation {
        cases: &["dup cl"],
        reason: "a body with two lengths smuggles requests (RFC 9112, section 6.3)",
        apply: |outcome| refuse(outcome, 0, 400),
    },
    Deviation {
        cases: &["cl+te"],
        reason: "a body with a length and chunks smuggles requests (RFC 9112, section 6.1)",
        apply: |outcome| {
            refuse(outcome, 0, 400);
            log_only(outcome, "POST /", 400);
        },
    },
    Deviation {
        cases: &["many hdr"],
        reason: "too many headers have a status of their own (RFC 6585, section 5)",
        apply: |outcome| refuse(outcome, 0, 431),
    },
    Deviation {
        cases: &["long line"],
        reason: "a request of 17 KB is within the limits; the original hangs up without a word",
        apply: |outcome| {
            let path = format!("/{}", "a".repeat(17_000));
            expect_request(outcome, &path);
        },
    },
    Deviation {
        cases: &["bad header value newline"],
        reason: "an application's line break must not add header lines",
        apply: |outcome| {
            outcome.steps[1].events = vec![refusal(500, "")];
            log_only(outcome, "GET /", 500);
        },
    },
    Deviation {
        cases: &["non ascii path"],
        reason: "no disconnect for a request the application never heard of, but a line in the log",
        apply: |outcome| {
            outcome.steps[0].messages.clear();
            log_only(outcome, "GET /\u{e9}", 400);
        },
    },
    Deviation {
        cases: &["root path hdr"],
        reason: "Daphne-Root-Path is taken from trusted proxies alone",
        apply: |outcome| {
            message_of(outcome, 0).insert("root_path", "");
        },
    },
    Deviation {
        cases: &["str content", "chunk first, no status"],
        reason: "a message that is no response is answered with 500, at once; the original hangs",
        apply: |outcome| {
            let disconnect = message! { "reply_channel" => REPLY_CHANNEL, "path" => "/" };
            outcome.steps[1] = Step {
                messages: vec![("http.disconnect".to_owned(), disconnect)],
                events: vec![refusal(500, "")],
            };
            // The right message after the wrong one comes too late.
            outcome
                .steps
                .iter_mut()
                .skip(2)
                .for_each(|step| *step = Step::default());
            log_only(outcome, "GET /", 500);
        },
    },
    Deviation {
        cases: &["multi ?"],
        reason: "a fragment is no part of a request target",
        apply: |outcome| {
            message_of(outcome, 0).insert("query_string", b"a?b=c");
        },
    },
    Deviation {
        cases: &["root path hdr non-ascii"],
        reason: "Daphne-Root-Path of a client that is no trusted proxy is not looked at",
        apply: |outcome| {
            expect_request(outcome, "/a/b");
            outcome.access_log.clear();
        },
    },
    Deviation {
        cases: &["full layer", "full layer POST"],
        reason: "a client the application has no room for gives its connection up",
        apply: |outcome| outcome.steps[0].events.push(Event::Closed),
    },
    Deviation {
        cases: &["xff empty"],
        reason: "an empty X-Forwarded-For names no client",
        apply: |outcome| {
            let client = outcome.client.clone();
            message_of(outcome, 0).insert("client", client);
            let line = "192.168.1.1:54321 - - [DATE] \"GET /\" 200 -";
            outcome.access_log = vec![line.to_owned()];
        },
    },
    Deviation {
        cases: &["xff proto only"],
        reason: "X-Forwarded-Proto counts by itself",
        apply: |outcome| {
            message_of(outcome, 0).insert("scheme", "https");
        },
    },
    Deviation {
        cases: &["xff host:port"],
        reason: "an address with a port is split; a protocol is one of those that are known",
        apply: |outcome| {
            let client = Value::from(vec![Value::from("1.2.3.4"), Value::from(555)]);
            message_of(outcome, 0).insert("client", client);
            message_of(outcome, 0).insert("scheme", "https");
        },
    },
];

#[tokio::test]
async fn recorded_http_cases() {
    replay("daphne_http.json", CASES, DEVIATIONS).await;
}
