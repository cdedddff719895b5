//! What a server sent, reduced to what matters when two servers are compared.

use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncWrite};

use super::client::Client;
use super::frames::{CLOSE, Frame};
use super::http::{Body, Framing, Head};
use super::vectors;

/// Something a client can tell from the bytes it reads.
///
/// Left out, because two right servers may differ in it: reason phrases, the spelling of header
/// names, the order of different headers, `Date` and `Server`, how a body is framed and cut into
/// chunks, the words that go with a close code.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The start of a response: status, and headers sorted by name.
    Head {
        status: u16,
        headers: Vec<(String, String)>,
    },
    /// Bytes of a response body; one event per step.
    Body(Vec<u8>),
    /// The end of a response.
    End,
    /// A whole response with which the server itself refuses a request, whose body contains
    /// `text`.
    Refusal { status: u16, text: String },
    /// A WebSocket frame.
    Frame(Frame),
    /// The server closed the connection.
    Closed,
}

/// Headers that say how a message is carried, not what it says.
const TRANSPORT_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
];

/// Turns what one server sends over one connection into events.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// Whether the request answered next has the method HEAD.
    head_request: bool,
    answers: usize,
    closed: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body(Framing),
    Refusal(u16, Framing, Vec<u8>),
    Frames,
}

impl Decoder {
    /// Notes what the client sent.
    pub fn sent(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Head) {
            self.head_request = bytes.starts_with(b"HEAD ");
        }
    }

    /// Whether the connection carries WebSocket frames by now.
    pub fn is_websocket(&self) -> bool {
        matches!(self.state, State::Frames)
    }

    /// Whether the server closed the connection.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many requests were answered, to the end or by a change of protocol.
    pub fn answers(&self) -> usize {
        self.answers
    }

    /// Takes all complete events from the start of what `client` has read.
    pub fn decode_from<S>(&mut self, client: &mut Client<S>) -> Vec<Event>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (events, taken) = self.decode(client.buffered(), client.has_ended());
        client.discard(taken);
        events
    }

    /// All complete events at the start of `input`, and how many bytes they take; `eof` says
    /// that nothing follows.
    pub fn decode(&mut self, input: &[u8], eof: bool) -> (Vec<Event>, usize) {
        let mut events = Vec::new();
        let mut at = 0;
        while let Some(taken) = self.step(&input[at..], eof, &mut events) {
            at += taken;
        }
        if eof && !self.closed {
            self.closed = true;
            events.push(Event::Closed);
        }
        (events, at)
    }

    /// One part of a message; how many bytes it took, or `None` if it is not all there.
    fn step(&mut self, input: &[u8], eof: bool, events: &mut Vec<Event>) -> Option<usize> {
        match &mut self.state {
            State::Head => {
                let (head, length) = Head::parse(input)?;
                self.state = after_head(&head, self.head_request);
                self.answers += usize::from(head.status == 101);
                if head.status < 400 {
                    events.push(Event::Head {
                        status: head.status,
                        headers: comparable_headers(&head),
                    });
                }
                Some(length)
            }
            State::Frames => {
                let (mut frame, length) = Frame::parse(input)?;
                if frame.opcode() == CLOSE {
                    frame.payload.truncate(2);
                }
                events.push(Event::Frame(frame));
                Some(length)
            }
            State::Body(framing) => {
                let body = Body::decode(*framing, input, eof);
                if !body.content.is_empty() {
                    events.push(Event::Body(body.content.clone()));
                }
                shorten(framing, &body);
                if body.complete {
                    events.push(Event::End);
                    self.answers += 1;
                    self.state = State::Head;
                }
                (body.complete || body.consumed > 0).then_some(body.consumed)
            }
            State::Refusal(status, framing, content) => {
                let body = Body::decode(*framing, input, eof);
                content.extend(&body.content);
                shorten(framing, &body);
                if body.complete {
                    events.push(Event::Refusal {
                        status: *status,
                        text: String::from_utf8_lossy(content).into_owned(),
                    });
                    self.answers += 1;
                    self.state = State::Head;
                }
                (body.complete || body.consumed > 0).then_some(body.consumed)
            }
        }
    }
}

/// Joins neighbouring pieces of a body.
pub fn coalesce(events: Vec<Event>) -> Vec<Event> {
    let mut joined: Vec<Event> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(Event::Body(body)), Event::Body(more)) => body.extend(more),
            (_, event) => joined.push(event),
        }
    }
    joined
}

/// Whether what was seen is what was expected. A refusal's text need only contain what is
/// expected.
pub fn agree(expected: &[Event], seen: &[Event]) -> bool {
    expected.len() == seen.len()
        && expected
            .iter()
            .zip(seen)
            .all(|(expected, seen)| match (expected, seen) {
                (
                    Event::Refusal { status, text },
                    Event::Refusal {
                        status: seen_status,
                        text: seen_text,
                    },
                ) => status == seen_status && seen_text.contains(text.as_str()),
                _ => expected == seen,
            })
}

/// What a recorded step's output amounts to.
pub fn recorded(decoder: &mut Decoder, step: &Json) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(out) = step.get("out") {
        match vectors::bytes(out) {
            Some(bytes) => events = decoder.decode(&bytes, false).0,
            // The server's own pages are recorded without their HTML.
            None => events.push(Event::Refusal {
                status: out["$error_page"]["title"]
                    .as_str()
                    .and_then(|title| title.get(..3))
                    .and_then(|code| code.parse().ok())
                    .expect("an error page with a status code"),
                text: out["$error_page"]["text"]
                    .as_str()
                    .expect("text")
                    .to_owned(),
            }),
        }
    }
    if step.get("closing").is_some() {
        events.extend(decoder.decode(b"", true).0);
    }
    coalesce(events)
}

fn after_head(head: &Head, head_request: bool) -> State {
    let framing = head.framing(if head_request { "HEAD" } else { "GET" });
    match framing {
        Framing::Upgrade => State::Frames,
        _ if head.status >= 400 => State::Refusal(head.status, framing, Vec::new()),
        _ => State::Body(framing),
    }
}

fn shorten(framing: &mut Framing, body: &Body) {
    if let Framing::Length(left) = framing {
        *left -= body.content.len();
    }
}

fn comparable_headers(head: &Head) -> Vec<(String, String)> {
    let mut headers: Vec<_> = head
        .headers
        .iter()
        .filter(|(name, _)| !TRANSPORT_HEADERS.contains(&name.as_str()))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value).into_owned();
            // The name of a protocol to upgrade to has no case.
            let value = match name.as_str() {
                "upgrade" => value.to_ascii_lowercase(),
                _ => value,
            };
            (name.clone(), value)
        })
        .collect();
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    headers
}
