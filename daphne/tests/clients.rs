//! The server as outside programs see it: curl, and Python's websockets.

mod support;

use std::fs;
use std::path::PathBuf;

use asgiref::{ChannelName, Message, Value, message};
use support::app::{App, Serving};
use support::pattern::{Checker, pattern};
use support::process::{command, run_with_input, succeed};
use support::server::{SHORT, TestServer};
use support::within;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// The size of what is transferred where size matters: 50 MB.
const LARGE: usize = 50_000_000;

fn curl() -> Command {
    let mut curl = command("curl", "curl");
    curl.args(["-q", "--silent", "--show-error", "--noproxy", "*"]);
    curl
}

fn python() -> Command {
    // Debian's own interpreter, which is the one Debian's packages are for.
    let mut python = command("/usr/bin/python3", "python3");
    python.arg(format!(
        "{}/tests/clients/websockets_client.py",
        env!("CARGO_MANIFEST_DIR")
    ));
    python
}

fn large_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("upload");
    fs::write(&path, pattern(LARGE)).expect("the temporary folder takes 50 MB");
    (folder, path)
}

/// Answers uploads with what arrived, other requests with method and path.
async fn site(app: App, request: Message) {
    let upload = app.upload(&request).await;
    if upload.closed {
        return;
    }
    let method = request.text("method").unwrap();
    let content = if matches!(method.as_ref() as &str, "POST" | "PUT") {
        let mut checker = Checker::new();
        checker.add(&upload.content);
        checker.report()
    } else {
        format!("{method} {}", request.text("path").unwrap())
    };
    let reply = message! {
        "status" => 200,
        "headers" => [Value::from([Value::from(b"x-site"), Value::from(b"test")])],
        "content" => content.into_bytes(),
    };
    app.reply(&request, reply).await;
}

fn text(output: Vec<u8>) -> String {
    String::from_utf8(output).expect("the output is text")
}

#[tokio::test]
async fn curl_get() {
    let server = TestServer::start().await;
    let _app = server.app().serve(site);
    let output = text(succeed(curl().args(["--include", &server.url("/a/b")])).await);
    assert!(output.starts_with("HTTP/1.1 200 OK\r\n"), "{output}");
    assert!(output.contains("x-site: test\r\n"), "{output}");
    assert!(output.ends_with("\r\n\r\nGET /a/b"), "{output}");
}

#[tokio::test]
async fn curl_head() {
    let server = TestServer::start().await;
    let _app = server.app().serve(site);
    let output = text(succeed(curl().args(["--head", &server.url("/a")])).await);
    assert!(output.starts_with("HTTP/1.1 200 OK\r\n"), "{output}");
    assert!(output.ends_with("\r\n\r\n"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_posts_50_mb() {
    let server = TestServer::start().await;
    let _app = server.app().serve(site);
    let (_folder, path) = large_file();
    let data = format!("@{}", path.display());
    let output = succeed(curl().args(["--data-binary", &data, &server.url("/p")])).await;
    assert_eq!(text(output), format!("{LARGE} bytes, right"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_uploads_50_mb_in_chunks() {
    let server = TestServer::start().await;
    let _app = server.app().serve(site);
    let mut curl = curl();
    let output = run_with_input(curl.args(["-T", "-", &server.url("/p")]), &pattern(LARGE)).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(output.stdout), format!("{LARGE} bytes, right"));
}

#[tokio::test]
async fn curl_expects_100_continue() {
    let server = TestServer::start().await;
    let _app = server.app().serve(site);
    let mut curl = curl();
    curl.args(["--include", "--header", "Expect: 100-continue"]);
    curl.args(["--expect100-timeout", "15", "--data-binary", "@-"]);
    let output = run_with_input(curl.arg(server.url("/p")), &pattern(3)).await;
    let output = text(output.stdout);
    assert!(
        output.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{output}"
    );
    assert!(output.ends_with("\r\n\r\n3 bytes, right"), "{output}");
}

#[tokio::test]
async fn curl_uploads_and_downloads_slowly() {
    let server = TestServer::start().await;
    let app = server.app();
    let _app = app.serve(|app, request| async move {
        if request.text("path").unwrap() == "/download" {
            let reply = message! { "status" => 200, "content" => vec![b'd'; 400_000] };
            app.reply(&request, reply).await;
        } else {
            site(app, request).await;
        }
    });
    let content = pattern(400_000);
    let (mut up, mut down) = (curl(), curl());
    let (upload, url) = (server.url("/upload"), server.url("/download"));
    let (up, down) = tokio::join!(
        run_with_input(
            up.args(["--limit-rate", "300K", "-T", "-", &upload]),
            &content
        ),
        succeed(down.args(["--limit-rate", "300K", &url])),
    );
    assert_eq!(text(up.stdout), "400000 bytes, right");
    assert_eq!(down, vec![b'd'; 400_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_downloads_a_stream() {
    let server = TestServer::start().await;
    let _app = server.app().serve(|app, request| async move {
        app.reply(
            &request,
            message! { "status" => 200, "more_content" => true },
        )
        .await;
        for part in pattern(LARGE).chunks(100_000) {
            let part = message! { "content" => part, "more_content" => true };
            app.reply(&request, part).await;
        }
        app.reply(&request, message! { "content" => b"" }).await;
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("download");
    let file = path.to_str().unwrap();
    succeed(curl().args(["--output", file, &server.url("/")])).await;
    assert!(
        fs::read(&path).unwrap() == pattern(LARGE),
        "the download is changed"
    );
}

#[tokio::test]
async fn curl_that_gives_up_is_reported() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut curl = curl();
    let mut child = curl
        .args(["--no-buffer", &server.url("/events")])
        .spawn()
        .unwrap();
    let request = app.request().await;
    let part = message! { "status" => 200, "content" => b"event\n", "more_content" => true };
    app.reply(&request, part).await;
    child.kill().await.unwrap();
    let gone = app.next("http.disconnect").await;
    assert_eq!(gone.text("path").unwrap(), "/events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_sends_10_000_requests_over_one_connection() {
    let server = TestServer::start().await;
    let _app = server.app().serve(site);
    let output = succeed(curl().args([
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code} %{num_connects}\n",
        &server.url("/[1-10000]"),
    ]))
    .await;
    let output = text(output);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 10_000);
    assert_eq!(lines[0], "200 1");
    assert!(
        lines[1..].iter().all(|line| *line == "200 0"),
        "connected more than once"
    );
}

#[tokio::test]
async fn curl_sees_503_when_the_application_is_away() {
    let server = TestServer::configured(|builder| builder.http_timeout(SHORT)).await;
    let output = succeed(curl().args(["--include", &server.url("/")])).await;
    assert!(text(output).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
}

/// A server whose application answers WebSockets by their path.
struct Sockets {
    server: TestServer,
    app: App,
    _task: Serving,
}

impl Sockets {
    async fn start() -> Self {
        let server = TestServer::configured(|builder| {
            builder
                .ping_interval(Some(SHORT / 2))
                .ping_timeout(20 * SHORT)
                .ws_protocols(["v2.chat"])
        })
        .await;
        let app = server.app();
        let channels = ["websocket.connect", "websocket.receive"];
        Self {
            _task: app.consume(channels, consume_websocket),
            server,
            app,
        }
    }

    /// Runs a scenario of the Python program, which must succeed, and returns the close code the
    /// application sees.
    async fn run(&self, scenario: &str) -> i64 {
        let url = format!("ws://{}", self.server.addr());
        succeed(python().args([&url, scenario])).await;
        let gone = self.app.next("websocket.disconnect").await;
        gone.int("code").unwrap()
    }
}

async fn consume_websocket(app: App, channel: ChannelName, message: Message) {
    let path = message.text("path").unwrap().to_string();
    let is_connect = channel == "websocket.connect";
    let reply = match (is_connect, path.as_str()) {
        (true, "/reject/") => message! { "accept" => false },
        (true, "/greet/") => message! { "accept" => true, "text" => "welcome", "close" => 4001 },
        (true, "/choose/") => message! { "accept" => true, "subprotocol" => "v1.chat" },
        (true, _) => message! { "accept" => true },
        (false, "/close/") => {
            let code: i64 = message.text("text").unwrap().parse().unwrap();
            message! { "close" => code }
        }
        (false, _) => message.clone(),
    };
    app.reply(&message, reply).await;
}

#[tokio::test]
async fn websockets_echo_text_and_binary() {
    assert_eq!(Sockets::start().await.run("echo").await, 1000);
}

#[tokio::test]
async fn websockets_large_messages() {
    assert_eq!(Sockets::start().await.run("large").await, 1000);
}

#[tokio::test]
async fn websockets_fragmented_messages() {
    assert_eq!(Sockets::start().await.run("fragmented").await, 1000);
}

#[tokio::test]
async fn websockets_pings_both_ways() {
    assert_eq!(Sockets::start().await.run("ping").await, 1000);
}

#[tokio::test]
async fn websockets_subprotocols() {
    let sockets = Sockets::start().await;
    assert_eq!(sockets.run("subprotocol-configured").await, 1000);
    assert_eq!(sockets.run("subprotocol-chosen").await, 1000);
    assert_eq!(sockets.run("subprotocol-none").await, 1000);
}

#[tokio::test]
async fn websockets_client_closes_with_a_code() {
    assert_eq!(Sockets::start().await.run("client-close").await, 4321);
}

#[tokio::test]
async fn websockets_application_closes_with_a_code() {
    let sockets = Sockets::start().await;
    assert_eq!(sockets.run("server-close").await, 3456);
    assert_eq!(sockets.run("greeting").await, 4001);
}

#[tokio::test]
async fn websockets_rejection_is_a_403() {
    assert_eq!(Sockets::start().await.run("rejected").await, 1006);
}

#[tokio::test]
async fn websockets_client_that_dies_is_reported() {
    let sockets = Sockets::start().await;
    let url = format!("ws://{}", sockets.server.addr());
    let mut child = python()
        .args([&url, "hang"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    within(
        "the program to be connected",
        output.read_exact(&mut [0; 9]),
    )
    .await
    .unwrap();
    child.kill().await.unwrap();
    let gone = sockets.app.next("websocket.disconnect").await;
    assert_eq!(gone.int("code").unwrap(), 1006);
    assert_eq!(gone.text("path").unwrap(), "/hang/");
}
