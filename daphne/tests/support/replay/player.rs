//! Plays one case: feeds, replies, waits and takes down what happens.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ByteString, ChannelName, LayerConfig, Message, message};
use daphne::{DisconnectMessages, ServerBuilder};
use serde_json::Value as Json;

use super::outcome::{Outcome, Step, comparable, comparable_line, refusal};
use super::recording::{self, expand, feed};
use crate::support::app::App;
use crate::support::client::Client;
use crate::support::frames::Frame;
use crate::support::layer::{Fault, FaultyLayer};
use crate::support::log::Log;
use crate::support::server::{SHORT, TestServer};
use crate::support::transcript::{Decoder, Event, agree, coalesce};
use crate::support::vectors::{self, Case};

/// How long a step may take; a failing case should not hold up the others for long.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// Plays the client and the application of one case.
pub struct Player {
    server: TestServer,
    layer: Arc<FaultyLayer>,
    app: App,
    client: Option<Client>,
    client_addr: SocketAddr,
    decoder: Decoder,
    log: Log,
    latest: Option<Exchange>,
}

/// The latest request or WebSocket the application was told of.
struct Exchange {
    is_websocket: bool,
    reply_channel: ChannelName,
    /// How many answers the client had seen when it began.
    answers_before: usize,
}

impl Player {
    pub async fn start(case: &Case) -> Self {
        let layer = Arc::new(FaultyLayer::new(LayerConfig::new()));
        if case.options["capacity"] == 0 {
            layer.set(Fault::Full);
        }
        let log = Log::new();
        let server = TestServer::listening(listener(case), Arc::clone(&layer) as _, |builder| {
            configure(case, log.attach(builder))
        })
        .await;
        let client = server.connect().await;
        Self {
            app: server.app(),
            client_addr: client.local_addr(),
            client: Some(client),
            server,
            layer,
            decoder: Decoder::default(),
            log,
            latest: None,
        }
    }

    /// What was recorded, with the addresses of this run.
    pub fn recorded(&self, case: &Case) -> Outcome {
        recording::outcome(case, self.client_addr, self.server.addr())
    }

    /// Goes through the steps, waiting after each for what `wanted` says.
    pub async fn play(&mut self, case: &Case, wanted: &Outcome) -> Outcome {
        let mut seen = Outcome::default();
        for (step, wanted) in case.steps.iter().zip(&wanted.steps) {
            self.act(step).await;
            let messages = self.messages(wanted).await;
            let events = self.events(&wanted.events).await;
            seen.steps.push(Step { messages, events });
        }
        let lines = self.log.lines(wanted.access_log.len(), STEP_LIMIT).await;
        seen.access_log = lines.iter().map(|line| self.anonymise(line)).collect();
        seen.surplus = self.finish(&wanted.surplus).await;
        seen
    }

    async fn act(&mut self, step: &Json) {
        if let Some(fed) = step.get("feed") {
            self.send(&feed(fed)).await;
        }
        if let Some(reply) = step.get("reply") {
            self.reply(vectors::message(&expand(reply))).await;
        }
        match step["event"].as_str() {
            None | Some("tmo" | "ctm" | "cneg" | "chk") => {}
            Some("cap") => self.layer.set(Fault::Full),
            Some("tcp closed cleanly by peer") => self.client = None,
            Some(other) => panic!("unknown event {other:?}"),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.decoder.sent(bytes);
        if let Some(client) = &mut self.client {
            // If the server has closed the connection, that shows in the events.
            let _ = client.try_send(bytes).await;
        }
    }

    /// Replies to the latest request or connection; where the original refused it before the
    /// application heard of it, the reply has nowhere to go.
    async fn reply(&self, reply: Message) {
        if let Some(latest) = &self.latest {
            self.app.reply_on(&latest.reply_channel, reply).await;
        }
    }

    async fn messages(&mut self, wanted: &Step) -> Vec<(String, Message)> {
        let mut messages = Vec::new();
        for (channel, _) in &wanted.messages {
            let next = tokio::time::timeout(STEP_LIMIT, self.app.next(channel)).await;
            let Ok(message) = next else { break };
            self.note(channel, &message);
            messages.push((channel.clone(), comparable(self.whole(message).await)));
        }
        messages
    }

    fn note(&mut self, channel: &str, message: &Message) {
        let reply_channel = message.channel("reply_channel").expect("a reply channel");
        if channel == "http.request" || channel == "websocket.connect" {
            self.latest = Some(Exchange {
                is_websocket: channel == "websocket.connect",
                reply_channel,
                answers_before: self.decoder.answers(),
            });
        } else if let Some(latest) = &self.latest {
            assert_eq!(
                latest.reply_channel, reply_channel,
                "{channel} names another connection"
            );
        }
    }

    /// A request with its whole body in `body`, however it came.
    async fn whole(&self, mut message: Message) -> Message {
        if message.opt_text("body_channel").expect("text").is_some() {
            let upload = self.app.upload(&message).await;
            message.remove("body_channel");
            message.insert("body", upload.content);
        }
        message
    }

    async fn events(&mut self, wanted: &[Event]) -> Vec<Event> {
        if wanted.is_empty() {
            return Vec::new();
        }
        self.events_until(|seen| agree(wanted, seen)).await
    }

    /// What the client sees until `enough` says so or the connection ends.
    async fn events_until(&mut self, enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let Some(client) = &mut self.client else {
            return Vec::new();
        };
        let mut seen = Vec::new();
        // Running out of time is no failure here: what is missing shows in the comparison.
        let _ = tokio::time::timeout(STEP_LIMIT, async {
            loop {
                seen.extend(self.decoder.decode_from(client));
                seen = coalesce(std::mem::take(&mut seen));
                if enough(&seen) || client.has_ended() {
                    break;
                }
                client.fill().await;
            }
        })
        .await;
        seen
    }

    /// Brings the case to an end and returns what came beyond the expected: whatever was on its
    /// way before the answer to something asked only now, and the messages of `wanted`.
    async fn finish(&mut self, wanted: &Step) -> Step {
        self.layer.set(Fault::None);
        let mut surplus = Step {
            messages: self.messages(wanted).await,
            events: Vec::new(),
        };
        surplus.messages.extend(self.pending().await);
        let mut ended_here = Vec::new();
        if self.client.is_some() && !self.decoder.is_closed() {
            if self.decoder.is_websocket() {
                let end = Event::Frame(Frame::text("the end"));
                self.reply(message! { "text" => "the end" }).await;
                surplus.events.extend(self.events_before(&[end]).await);
                ended_here.extend(self.reply_channel());
            } else if self.is_unanswered() {
                surplus.events.extend(self.answer_last().await);
                ended_here.extend(self.reply_channel());
            }
        }
        if self.client.is_some() && !self.decoder.is_closed() && !self.decoder.is_websocket() {
            // The connection is good for another request.
            self.send(b"GET /the-end HTTP/1.1\r\nHost: a.example\r\n\r\n")
                .await;
            let app = self.app.clone();
            tokio::select! {
                request = app.request() => {
                    self.note("http.request", &request);
                    surplus.events.extend(self.answer_last().await);
                    ended_here.extend(self.reply_channel());
                }
                events = self.events_until(|seen| seen.contains(&Event::Closed)) => {
                    surplus.events.extend(events);
                }
            }
        }
        self.client = None;
        self.server.expect_serving().await;
        surplus.messages.extend(self.pending().await);
        surplus.messages.retain(|(_, message)| {
            let reply_channel = message.text("reply_channel").expect("a reply channel");
            message.text("path").expect("a path") != "/still-serving"
                && !ended_here.contains(reply_channel)
        });
        surplus
    }

    /// What waits in the layer. A request among it is noted as one to be answered.
    async fn pending(&mut self) -> Vec<(String, Message)> {
        let messages = self.app.pending().await;
        for (channel, message) in &messages {
            if channel == "http.request" || channel == "websocket.connect" {
                self.note(channel, message);
            }
        }
        messages
    }

    fn reply_channel(&self) -> Option<ByteString> {
        let latest = self.latest.as_ref()?;
        Some(latest.reply_channel.as_text().clone())
    }

    fn is_unanswered(&self) -> bool {
        self.latest
            .as_ref()
            .is_some_and(|latest| latest.answers_before == self.decoder.answers())
    }

    /// Answers what is open, and returns what the client sees before the answer.
    async fn answer_last(&mut self) -> Vec<Event> {
        let latest = self.latest.as_ref().expect("an unanswered request");
        let (reply, answer) = if latest.is_websocket {
            let rejected = vec![refusal(403, ""), Event::Closed];
            (message! { "accept" => false }, rejected)
        } else {
            let head = Event::Head {
                status: 200,
                headers: Vec::new(),
            };
            (
                message! { "status" => 200, "content" => b"the end" },
                vec![head, Event::Body(b"the end".to_vec()), Event::End],
            )
        };
        self.reply(reply).await;
        self.events_before(&answer).await
    }

    /// What the client sees before `last`.
    async fn events_before(&mut self, last: &[Event]) -> Vec<Event> {
        let ends_with_last = |seen: &[Event]| {
            let at = seen.len().checked_sub(last.len());
            at.is_some_and(|at| agree(last, &seen[at..]))
        };
        let mut seen = self.events_until(ends_with_last).await;
        if ends_with_last(&seen) {
            seen.truncate(seen.len() - last.len());
        }
        seen
    }

    /// A line of the access log as recorded.
    fn anonymise(&self, line: &str) -> String {
        let line = line.replace(&self.client_addr.to_string(), "192.168.1.1:54321");
        let line = match (line.find('['), line.find(']')) {
            (Some(from), Some(to)) => format!("{}[DATE]{}", &line[..from], &line[to + 1..]),
            _ => line,
        };
        comparable_line(&line)
    }
}

fn configure(case: &Case, builder: ServerBuilder) -> ServerBuilder {
    let mut builder = builder.disconnect_messages(DisconnectMessages::Always);
    let happens = |event: &str| case.steps.iter().any(|step| step["event"] == event);
    if let Some(root_path) = case.options["root_path"].as_str() {
        builder = builder.root_path(root_path);
    }
    if case.options["proxy_forwarded_address_header"].is_string() {
        builder = builder.proxy_headers(true);
    }
    if let Some(names) = case.options["ws_protocols"].as_array() {
        builder = builder.ws_protocols(names.iter().map(|name| name.as_str().expect("text")));
    }
    if happens("tmo") {
        builder = builder.websocket_timeout(Some(SHORT));
    }
    if happens("ctm") {
        builder = builder.websocket_connect_timeout(Some(SHORT));
    }
    if happens("cap") {
        builder = builder.websocket_retry_timeout(SHORT);
    }
    if happens("cneg") {
        builder = builder.websocket_connect_timeout(None);
    }
    builder
}

/// Where the server of a case listens: over IPv6 if it was recorded so.
fn listener(case: &Case) -> TcpListener {
    let is_v6 = case.options["host"]
        .as_str()
        .is_some_and(|host| host.contains("::1"));
    if is_v6 {
        match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
            Ok(listener) => return listener,
            Err(error) => println!(
                "{}: this machine has no IPv6 loopback address ({error}); replayed over IPv4",
                case.name
            ),
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}
