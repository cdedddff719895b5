//! How much memory the server takes while much passes through it.
//!
//! Server and application run in a process of their own, this test program once more, so that
//! what the clients take does not count.

mod support;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use asgiref::{LayerConfig, Message, message};
use support::app::App;
use support::client::Client;
use support::pattern::{Checker, pattern};
use support::server::TestServer;
use support::within;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Set in the process that serves.
const CHILD: &str = "DAPHNE_TEST_SERVER";
const MEGABYTE: u64 = 1_000_000;
/// How many bytes are uploaded, and how many the memory may grow by meanwhile.
const UPLOAD: usize = 50_000_000;
const GROWTH: u64 = 8 * MEGABYTE;

/// Serves until standard input ends: when the test that started this process ends, however it
/// ends.
async fn serve() {
    // What waits in the layer is in this process too, but is not the server's. Uploads must keep
    // within the limit with what the layer takes by default.
    let config = LayerConfig::new()
        .channel_capacity("daphne.response.*", 8)
        .unwrap();
    let server = TestServer::with_config(config, |builder| {
        builder.send_timeout(Duration::from_secs(60))
    })
    .await;
    let _app = server.app().serve(|app, request| async move {
        match request.text("path").unwrap().as_ref() as &str {
            "/upload" => read_slowly(app, request).await,
            "/flood" => flood(app, request).await,
            _ => app.reply(&request, message! { "status" => 200 }).await,
        }
    });
    println!("serving on {}", server.addr());
    std::io::stdout().flush().unwrap();
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}

/// Takes one part after another, with a rest after each, and answers with what it found.
async fn read_slowly(app: App, request: Message) {
    let mut checker = Checker::new();
    checker.add(request.bytes("body").unwrap());
    loop {
        let chunk = app.chunk(&request).await;
        checker.add(chunk.bytes("content").unwrap());
        if !chunk.opt_bool("more_content").unwrap().unwrap_or(false) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let content = checker.report().into_bytes();
    app.reply(&request, message! { "status" => 200, "content" => content })
        .await;
}

/// Answers with 200 MB, as fast as the reply channel takes them.
async fn flood(app: App, request: Message) {
    app.reply(
        &request,
        message! { "status" => 200, "more_content" => true },
    )
    .await;
    for _ in 0..800 {
        let part = message! { "content" => vec![b'x'; 250_000], "more_content" => true };
        app.reply(&request, part).await;
    }
    app.reply(&request, message! { "content" => b"" }).await;
}

/// A process that runs this same test as the server.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    async fn start(test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = within("the server to start", async {
            loop {
                let line = lines
                    .next_line()
                    .await
                    .unwrap()
                    .expect("a line with the address");
                if let Some((_, addr)) = line.split_once("serving on ") {
                    break addr.parse().unwrap();
                }
            }
        })
        .await;
        let server = Self { child, addr };
        // What the first request needs is not counted.
        let mut client = Client::connect(addr).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.response().await;
        server
    }

    /// The resident memory now and at its highest, in bytes.
    fn memory(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let value = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let kilobytes = line.split_whitespace().nth(1).unwrap();
            kilobytes.parse::<u64>().unwrap() * 1024
        };
        (value("VmRSS:"), value("VmHWM:"))
    }
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[tokio::test]
async fn an_upload_of_50_mb_to_a_slow_application_takes_less_than_8_mb() {
    if is_child() {
        return serve().await;
    }
    let test = "an_upload_of_50_mb_to_a_slow_application_takes_less_than_8_mb";
    let server = Server::start(test).await;
    let (before, _) = server.memory();
    let mut client = Client::connect(server.addr).await;
    client
        .send(format!(
            "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD}\r\n\r\n"
        ))
        .await;
    client.send(pattern(UPLOAD)).await;
    let response = client.response().await;
    let (_, highest) = server.memory();
    let report = String::from_utf8(response.body).unwrap();
    assert_eq!(report, format!("{UPLOAD} bytes, right"));
    let growth = highest - before;
    println!("upload of 50 MB: memory grew by {} KB", growth / 1000);
    assert!(growth < GROWTH, "memory grew by {growth} bytes");
}

#[tokio::test]
async fn a_response_of_200_mb_to_a_client_that_does_not_read_takes_less_than_8_mb() {
    if is_child() {
        return serve().await;
    }
    let test = "a_response_of_200_mb_to_a_client_that_does_not_read_takes_less_than_8_mb";
    let server = Server::start(test).await;
    let (before, _) = server.memory();
    let mut client = Client::connect(server.addr).await;
    client.limit_receive_buffer(4_096);
    client.send("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    // Others are served meanwhile, again and again while the memory is watched.
    for _ in 0..20 {
        let mut other = Client::connect(server.addr).await;
        other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(other.response().await.head.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, highest) = server.memory();
    let growth = highest - before;
    println!(
        "unread response of 200 MB: memory grew by {} KB",
        growth / 1000
    );
    assert!(growth < GROWTH, "memory grew by {growth} bytes");
}
