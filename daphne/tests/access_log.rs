//! The access log, and what action loggers hear.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use asgiref::{LayerConfig, message};
use daphne::{AccessLog, Action, ActionLogger};
use support::LIMIT;
use support::frames::Frame;
use support::log::Log;
use support::server::TestServer;
use support::websocket::{Socket, handshake};

/// A line without its time, which must be there.
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once(" - - [").expect("a line of the log");
    let (time, after) = rest.split_once(']').expect("a time in brackets");
    let shape: String = time
        .chars()
        .map(|char| match char {
            '0'..='9' => '9',
            'a'..='z' | 'A'..='Z' => 'a',
            other => other,
        })
        .collect();
    assert_eq!(shape, "99/aaa/9999:99:99:99", "{time}");
    format!("{before}{after}")
}

async fn lines(log: &Log, count: usize) -> Vec<String> {
    let lines = log.lines(count, LIMIT).await;
    assert_eq!(lines.len(), count, "{lines:?}");
    lines.iter().map(|line| without_time(line)).collect()
}

#[tokio::test]
async fn a_line_for_every_response() {
    let log = Log::new();
    let server = TestServer::configured(|builder| log.attach(builder)).await;
    let app = server.app();
    let mut client = server.connect().await;
    let peer = client.local_addr();
    for (request, reply) in [
        (
            "GET /a/b%20c?x=%41+1",
            message! { "status" => 200, "content" => b"hello" },
        ),
        ("POST /p", message! { "status" => 302 }),
        (
            "HEAD /h",
            message! { "status" => 404, "content" => b"not sent" },
        ),
    ] {
        let method = request.split(' ').next().unwrap();
        client
            .send(format!(
                "{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        let message = app.request().await;
        app.reply(&message, reply).await;
        client.response_to(method).await;
    }
    assert_eq!(
        lines(&log, 3).await,
        [
            format!("{peer} \"GET /a/b%20c?x=%41+1\" 200 5"),
            format!("{peer} \"POST /p\" 302 -"),
            format!("{peer} \"HEAD /h\" 404 -"),
        ]
    );
}

#[tokio::test]
async fn a_streamed_response_is_logged_at_its_end_with_its_size() {
    let log = Log::new();
    let server = TestServer::configured(|builder| log.attach(builder)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send("GET /s HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let request = app.request().await;
    let part = message! { "status" => 200, "content" => b"four", "more_content" => true };
    app.reply(&request, part).await;
    client.head().await;
    client.expect_chunk(b"four").await;
    assert!(log.lines(0, Duration::ZERO).await.is_empty());
    app.reply(&request, message! { "content" => b"more" }).await;
    client.expect_chunk(b"more").await;
    assert!(lines(&log, 1).await[0].ends_with("\"GET /s\" 200 8"));
}

#[tokio::test]
async fn the_servers_own_answers_are_logged_with_their_status() {
    let log = Log::new();
    let config = LayerConfig::new()
        .channel_capacity("http.request", 0)
        .unwrap();
    let server = TestServer::with_config(config, |builder| log.attach(builder)).await;
    let mut client = server.connect().await;
    client.send("GET /full HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let size = client.response().await.body.len();
    let expected = format!("\"GET /full\" 503 {size}");
    assert!(lines(&log, 1).await[0].ends_with(&expected));
}

#[tokio::test]
async fn websockets_have_lines_for_each_step() {
    let log = Log::new();
    let server = TestServer::configured(|builder| log.attach(builder)).await;
    let mut socket = Socket::open_with(&server, &handshake("/chat/%41?secret=1", &[])).await;
    let peer = socket.client.local_addr();
    socket.client.send(Frame::close(1000).masked()).await;
    socket.disconnect().await;
    assert_eq!(
        lines(&log, 3).await,
        [
            format!("{peer} \"WSCONNECTING /chat/%41\" - -"),
            format!("{peer} \"WSCONNECT /chat/%41\" - -"),
            format!("{peer} \"WSDISCONNECT /chat/%41\" - -"),
        ]
    );
}

#[tokio::test]
async fn a_rejected_websocket_has_its_lines() {
    let log = Log::new();
    let server = TestServer::configured(|builder| log.attach(builder)).await;
    let app = server.app();
    let mut client = server.connect().await;
    let peer = client.local_addr();
    client.send(handshake("/no", &[])).await;
    let connect = app.next("websocket.connect").await;
    app.reply(&connect, message! { "accept" => false }).await;
    client.response().await;
    assert_eq!(
        lines(&log, 3).await,
        [
            format!("{peer} \"WSCONNECTING /no\" - -"),
            format!("{peer} \"WSREJECT /no\" - -"),
            format!("{peer} \"WSDISCONNECT /no\" - -"),
        ]
    );
}

#[tokio::test]
async fn a_client_behind_a_proxy_is_logged_with_its_own_address() {
    let log = Log::new();
    let server = TestServer::configured(|builder| log.attach(builder).proxy_headers(true)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Port: 9\r\n\r\n",
        )
        .await;
    let request = app.request().await;
    app.reply(&request, message! { "status" => 200 }).await;
    client.response().await;
    assert!(lines(&log, 1).await[0].starts_with("1.2.3.4:9 \"GET /\""));
}

#[tokio::test]
async fn a_target_cannot_forge_a_line() {
    let log = Log::new();
    let server = TestServer::configured(|builder| log.attach(builder)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send("GET /%0a1.2.3.4:5%20-%22 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let request = app.request().await;
    app.reply(&request, message! { "status" => 200 }).await;
    client.response().await;
    assert!(lines(&log, 1).await[0].ends_with("\"GET /%0a1.2.3.4:5%20-%22\" 200 -"));
}

#[tokio::test]
async fn a_log_file_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    std::fs::write(&path, "kept\n").unwrap();
    let log = AccessLog::file(&path).unwrap();
    let mut server = TestServer::configured(|builder| builder.access_log(log)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let request = app.request().await;
    app.reply(&request, message! { "status" => 200 }).await;
    client.response().await;
    support::until("the line to be written", || {
        std::fs::read_to_string(&path).unwrap().lines().count() == 2
    })
    .await;
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .starts_with("kept\n127.0.0.1:")
    );
    server.begin_stop();
    server.stopped().await.unwrap();
}

/// Keeps what it hears as text.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl ActionLogger for Heard {
    fn log(&self, action: &Action<'_>) {
        let mut text = format!("{} {} {action}", action.protocol(), action.name());
        match action {
            Action::HttpComplete {
                status,
                size,
                duration,
                ..
            } => {
                assert!(*duration < LIMIT);
                text.push_str(&format!(" {status} {size}"));
            }
            Action::WebsocketDisconnected { code, .. } => text.push_str(&format!(" {code}")),
            _ => {}
        }
        self.0.lock().unwrap().push(text);
    }
}

#[tokio::test]
async fn an_action_logger_hears_everything() {
    let heard = Arc::new(Heard::default());
    let logger = Arc::clone(&heard);
    let server = TestServer::configured(|builder| builder.action_logger(logger)).await;
    let mut socket = Socket::open(&server).await;
    socket.client.send(Frame::close(4000).masked()).await;
    socket.disconnect().await;
    server.expect_serving().await;
    support::until("all actions to be heard", || {
        heard.0.lock().unwrap().len() == 4
    })
    .await;
    assert_eq!(
        *heard.0.lock().unwrap(),
        [
            "websocket connecting WSCONNECTING /chat/",
            "websocket connected WSCONNECT /chat/",
            "websocket disconnected WSDISCONNECT /chat/ 4000",
            "http complete GET /still-serving 200 3",
        ]
    );
}
