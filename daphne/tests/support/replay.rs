//! Replays recorded cases against the server and compares what comes out.
//!
//! A case is a list of steps; each feeds bytes, sends a reply or lets something happen, and has an
//! outcome: messages on the channel layer and events at the client. Where this server differs on
//! purpose, a [`Deviation`] says how and why. One that no case needs any more fails the test.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ByteString, ChannelName, LayerConfig, Map, Message, Value, message};
use daphne::{DisconnectMessages, ServerBuilder};
use serde_json::Value as Json;

use super::app::App;
use super::client::Client;
use super::frames::Frame;
use super::layer::{Fault, FaultyLayer};
use super::log::Log;
use super::server::{SHORT, TestServer};
use super::transcript::{Decoder, Event, agree, coalesce, recorded};
use super::vectors::{self, Case};

/// How long a step may take; a failing case should not hold up the others for long.
const STEP_LIMIT: Duration = Duration::from_secs(5);
/// Stands for every reply channel: their names are random.
pub const REPLY_CHANNEL: &str = "test!XXXXXXXXXX";
/// What bytes are filled with of which only the number was recorded.
const FILLER: u8 = b'x';
/// The addresses in the recordings.
const RECORDED_CLIENTS: [(&str, i64); 2] = [("192.168.1.1", 54321), ("::1", 5555)];
const RECORDED_SERVERS: [(&str, i64); 2] = [("10.0.0.1", 12345), ("::1", 8000)];

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

/// A difference from the original server that is intended.
#[derive(Clone, Copy)]
pub struct Deviation {
    /// The cases concerned, none for all of them.
    pub cases: &'static [&'static str],
    /// Why this server is right.
    pub reason: &'static str,
    /// Turns what the original does into what this server does.
    pub apply: fn(&mut Outcome),
}

/// Replays all cases of `file`, of which there are `count`. Fails with the names of those whose
/// outcome is not the recorded one as changed by `deviations`.
pub async fn replay(file: &str, count: usize, deviations: &[Deviation]) {
    let cases = vectors::load(file, count);
    for deviation in deviations {
        for name in deviation.cases {
            assert!(
                cases.iter().any(|case| case.name == *name),
                "a deviation names the case {name:?}, which does not exist"
            );
        }
    }
    let mut failures = Vec::new();
    let mut needed = vec![false; deviations.len()];
    let mut deviating = 0;
    let runs: Vec<_> = cases
        .into_iter()
        .map(|case| {
            let deviations = deviations.to_vec();
            let name = case.name.clone();
            (name, tokio::spawn(run(case, deviations)))
        })
        .collect();
    let total = runs.len();
    for (name, run) in runs {
        match run.await {
            Ok(report) => {
                deviating += usize::from(!report.needed.is_empty());
                for at in &report.needed {
                    needed[*at] = true;
                }
                for at in report.unneeded {
                    failures.push(format!(
                        "{name}: behaves as the original without the deviation \"{}\"",
                        deviations[at].reason
                    ));
                }
                if let Some(difference) = report.difference {
                    failures.push(format!("{name}: {difference}"));
                }
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    for (deviation, needed) in deviations.iter().zip(needed) {
        if !needed {
            failures.push(format!("no case needs the deviation: {}", deviation.reason));
        }
    }
    println!(
        "{file}: {total} cases replayed, {} as recorded, {deviating} with declared deviations",
        total - deviating
    );
    for deviation in deviations {
        println!("  {deviation:?}");
    }
    assert!(
        failures.is_empty(),
        "{} failures in {file}:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// How one case went.
struct Report {
    difference: Option<String>,
    /// Deviations without which the outcome would not be the expected one.
    needed: Vec<usize>,
    /// Deviations that name this case and change nothing that matters.
    unneeded: Vec<usize>,
}

async fn run(case: Case, deviations: Vec<Deviation>) -> Report {
    let applying: Vec<usize> = (0..deviations.len())
        .filter(|at| {
            let cases = deviations[*at].cases;
            cases.is_empty() || cases.contains(&case.name.as_str())
        })
        .collect();
    let mut player = Player::start(&case).await;
    let expected = |without: Option<usize>| {
        let mut outcome = player.recorded(&case);
        for at in &applying {
            if Some(*at) != without {
                (deviations[*at].apply)(&mut outcome);
            }
        }
        outcome
    };
    let wanted = expected(None);
    let others: Vec<(usize, Outcome)> = applying
        .iter()
        .map(|at| (*at, expected(Some(*at))))
        .collect();
    let seen = player.play(&case, &wanted).await;
    let report = difference(&wanted, &seen);
    let (mut needed, mut unneeded) = (Vec::new(), Vec::new());
    for (at, other) in others {
        if difference(&other, &seen).is_some() {
            needed.push(at);
        } else if !deviations[at].cases.is_empty() {
            unneeded.push(at);
        }
    }
    Report {
        difference: report,
        needed,
        unneeded,
    }
}

/// Plays the client and the application of one case.
struct Player {
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
    async fn start(case: &Case) -> Self {
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

    /// What was recorded, with this run's addresses.
    fn recorded(&self, case: &Case) -> Outcome {
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
                        (channel, comparable(self.localise(message)))
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
            client: socket_address(self.client_addr),
            server: socket_address(self.server.addr()),
        }
    }

    fn localise(&self, mut message: Message) -> Message {
        for (key, recorded, here) in [
            ("client", RECORDED_CLIENTS, self.client_addr),
            ("server", RECORDED_SERVERS, self.server.addr()),
        ] {
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

    /// Goes through the steps, waiting after each for what `wanted` says.
    async fn play(&mut self, case: &Case, wanted: &Outcome) -> Outcome {
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

impl fmt::Debug for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cases {
            [] => f.write_str("everywhere")?,
            cases => write!(f, "{}", cases.join(", "))?,
        }
        write!(f, ": {}", self.reason)
    }
}

/// A refusal whose page contains `text`.
pub fn refusal(status: u16, text: &str) -> Event {
    Event::Refusal {
        status,
        text: text.to_owned(),
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

fn socket_address(addr: SocketAddr) -> Value {
    address(&addr.ip().to_string(), addr.port())
}

fn address(host: &str, port: impl Into<Value>) -> Value {
    Value::from(vec![Value::from(host), port.into()])
}

/// A message without what is random or left open by the specification: the name of the reply
/// channel, the order of different headers, whether an absent value is left out or null.
fn comparable(message: Message) -> Message {
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
fn comparable_line(line: &str) -> String {
    let words: Vec<&str> = line.rsplitn(3, ' ').collect();
    match words[..] {
        [_, status, rest] if status >= "400" => format!("{rest} {status} SIZE"),
        _ => line.to_owned(),
    }
}

/// The bytes a step feeds. Two recordings give only a length.
fn feed(json: &Json) -> Vec<u8> {
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
fn expand(json: &Json) -> Json {
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

/// The first difference in words, `None` if there is none.
fn difference(expected: &Outcome, seen: &Outcome) -> Option<String> {
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
