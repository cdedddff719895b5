//! The `site` example as its documentation has it: daphne, Redis and workers are processes of
//! their own, and each is replaced while the others run. The same in shared memory, where there is
//! no server between them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

#[path = "../../asgi-redis/tests/support/mod.rs"]
mod servers;

use servers::port::free_port;
use servers::process::{Process, succeed, text};
use servers::server::{RedisOptions, RedisServer};
use servers::{until, within};
use tempfile::TempDir;

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// The program `daphne`, which is not one of this package; built if it is not up to date.
fn daphne_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let profile = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--profile", profile]);
        cargo.args(["--package", "daphne", "--bin", "daphne"]);
        // What describes this package would make build scripts run again.
        for (name, _) in std::env::vars_os() {
            let is_ours = ["CARGO_MANIFEST_", "CARGO_PKG_"]
                .iter()
                .any(|prefix| name.to_string_lossy().starts_with(prefix));
            if is_ours {
                cargo.env_remove(name);
            }
        }
        succeed(cargo.current_dir(env!("CARGO_MANIFEST_DIR")));
        Path::new(env!("CARGO_BIN_EXE_site")).with_file_name("daphne")
    })
}

fn start_daphne(port: u16, layer: &str) -> Process {
    let mut command = Command::new(daphne_program());
    command.args(["-b", "127.0.0.1", "-p", &port.to_string(), layer]);
    Process::start("daphne", &command)
}

async fn daphne(port: u16, layer: &str) -> Process {
    let process = start_daphne(port, layer);
    until("daphne to listen", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    })
    .await;
    process
}

fn worker(version: u32, layer: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_site"));
    command.args(["runworker", "--layer", layer]);
    command.env("SITE_VERSION", version.to_string());
    Process::start(format!("worker of version {version}"), &command)
}

/// Stops a program as a service manager does.
fn stop(process: Process) {
    process.terminate();
    expect_end(process);
}

/// A program that is asked to must end in order.
fn expect_end(mut process: Process) {
    let status = process.wait();
    assert!(status.success(), "{status}\n{}", process.log());
}

async fn wait_for_log(process: &Process, text: &str) {
    until(format!("{text:?} to be logged"), || {
        process.log().contains(text)
    })
    .await;
}

/// The page, if one comes; `None` if daphne has no answer from a worker.
async fn page(port: u16) -> Option<String> {
    use axum::body::{Body, to_bytes};

    let client: Client<HttpConnector, Body> = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://127.0.0.1:{port}/").parse().expect("a URI");
    let response = within("a response", client.get(uri)).await;
    let response = response.expect("daphne answers");
    if !response.status().is_success() {
        return None;
    }
    let body = to_bytes(Body::new(response.into_body()), 100_000).await;
    let body = body.expect("the response is whole");
    Some(String::from_utf8(body.into()).expect("the page is text"))
}

async fn open(port: u16) -> Socket {
    let opened = within(
        "a WebSocket",
        connect_async(format!("ws://127.0.0.1:{port}/")),
    )
    .await;
    opened.expect("the handshake is accepted").0
}

async fn say(socket: &mut Socket, number: u32) {
    let text = Message::text(format!("line {number}"));
    within("to send", socket.send(text))
        .await
        .expect("the connection is open");
}

/// The version and the number of the next answer.
async fn hear(socket: &mut Socket) -> (u32, u32) {
    let text = within("an answer", async {
        loop {
            let frame = socket.next().await.expect("the connection stays open");
            // daphne looks now and then whether the visitor is there.
            if let Message::Text(text) = frame.expect("frames are well-formed") {
                return text;
            }
        }
    })
    .await;
    let numbers = text
        .strip_prefix("version ")
        .and_then(|rest| rest.split_once(": line "));
    let (version, number) = numbers.unwrap_or_else(|| panic!("{text:?}"));
    let number_of = |text: &str| text.parse().expect("a number");
    (number_of(version), number_of(number))
}

/// A visitor who says line after line, and counts the answers.
struct Visitor {
    socket: Socket,
    said: u32,
    answered: BTreeSet<u32>,
}

impl Visitor {
    async fn enter(port: u16) -> Self {
        Self {
            socket: open(port).await,
            said: 0,
            answered: BTreeSet::new(),
        }
    }

    async fn say(&mut self, lines: u32) {
        for _ in 0..lines {
            say(&mut self.socket, self.said).await;
            self.said += 1;
        }
    }

    /// Hears answers to all that was said; returns the versions they came from.
    async fn hear_all(&mut self) -> BTreeSet<u32> {
        let mut versions = BTreeSet::new();
        while self.answered.len() < self.said as usize {
            let (version, number) = hear(&mut self.socket).await;
            assert!(self.answered.insert(number), "{number} is answered twice");
            versions.insert(version);
        }
        versions
    }

    /// Goes on until answers have come from all of `versions`, and from no other.
    async fn expect_versions<const N: usize>(&mut self, versions: [u32; N]) {
        let expected = BTreeSet::from(versions);
        let mut heard = BTreeSet::new();
        within(format!("answers of {expected:?}"), async {
            while heard != expected {
                self.say(10).await;
                heard.extend(self.hear_all().await);
                assert!(heard.is_subset(&expected), "answers of {heard:?}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn new_code_ships_over_redis_while_a_browser_stays_connected() {
    let server = RedisServer::start();
    let name = format!("RedisChannelLayer(127.0.0.1:{})", server.port());
    ship_new_code(&server.url(), &name).await;
}

#[tokio::test]
async fn new_code_ships_over_shared_memory_while_a_browser_stays_connected() {
    let directory = TempDir::new().expect("a temporary directory");
    let layer = format!("ipc://site?directory={}", text(directory.path()));
    ship_new_code(&layer, "IpcChannelLayer(prefix=site)").await;
}

/// Replaces workers and daphne one by one. `name` is what they call the layer in their logs.
async fn ship_new_code(layer: &str, name: &str) {
    let port = free_port();
    let front = daphne(port, layer).await;
    let started =
        format!("Starting server at tcp:port={port}:interface=127.0.0.1, channel layer {name}.");
    wait_for_log(&front, &started).await;
    let workers = [worker(1, layer), worker(1, layer)];
    for worker in &workers {
        let running = format!("running worker against channel layer default ({name})");
        wait_for_log(worker, &running).await;
    }
    let shown = page(port).await.expect("a worker answers");
    assert!(shown.contains("Served by version 1"), "{shown}");
    let mut visitor = Visitor::enter(port).await;
    visitor.expect_versions([1]).await;

    let [first, second] = workers;
    // What it has begun it finishes, the rest is for the other one.
    visitor.say(40).await;
    stop(first);
    assert_eq!(visitor.hear_all().await, BTreeSet::from([1]));
    let third = worker(2, layer);
    visitor.expect_versions([1, 2]).await;

    visitor.say(40).await;
    stop(second);
    visitor.hear_all().await;
    visitor.expect_versions([2]).await;

    // Without a worker what is said waits.
    stop(third);
    visitor.say(40).await;
    let _fourth = worker(3, layer);
    assert_eq!(visitor.hear_all().await, BTreeSet::from([3]));
    let shown = page(port).await.expect("a worker answers");
    assert!(shown.contains("Served by version 3"), "{shown}");

    // daphne in its turn; the worker stays.
    front.terminate();
    let farewell = within("the end of the connection", visitor.socket.next()).await;
    let Some(Ok(Message::Close(Some(close)))) = farewell else {
        panic!("{farewell:?}");
    };
    assert_eq!(close.code, CloseCode::Away);
    drop(visitor);
    expect_end(front);
    let _front = daphne(port, layer).await;
    let mut visitor = Visitor::enter(port).await;
    visitor.expect_versions([3]).await;
}

#[tokio::test]
async fn everything_may_be_there_before_redis() {
    let mut server = RedisServer::start();
    let layer = server.url();
    server.kill();
    let port = free_port();
    let mut front = daphne(port, &layer).await;
    let mut worker = worker(1, &layer);
    assert_eq!(page(port).await, None);
    server.start_again();
    within("the page", async { while page(port).await.is_none() {} }).await;
    assert!(front.is_running() && worker.is_running());
}

#[tokio::test]
async fn daphne_and_workers_speak_tls_with_redis() {
    let server = RedisOptions::new().tls().start();
    let authority = text(&server.certificate().authority);
    let layer = format!("{}?tls_ca={authority}", server.tls_url());
    let port = free_port();
    let _front = daphne(port, &layer).await;
    let _worker = worker(1, &layer);
    let shown = page(port).await.expect("a worker answers");
    assert!(shown.contains("Served by version 1"), "{shown}");
    let mut visitor = Visitor::enter(port).await;
    visitor.expect_versions([1]).await;
}

/// A certificate nobody vouches for is not accepted by the way, just because there is nobody to
/// ask.
#[tokio::test]
async fn daphne_does_not_talk_to_a_redis_it_cannot_trust() {
    let server = RedisOptions::new().tls().start();
    let port = free_port();
    let front = daphne(port, &server.tls_url()).await;
    assert_eq!(page(port).await, None);
    wait_for_log(&front, "certificate").await;
}
