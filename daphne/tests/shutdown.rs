//! Stopping: what is under way is finished, within a limit.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asgiref::message;
use support::frames::Frame;
use support::server::{SHORT, TestServer};
use support::websocket::{Socket, handshake};
use tokio::net::TcpStream;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

const GET: &str = "GET /work HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[tokio::test]
async fn a_server_without_connections_stops_at_once() {
    let mut server = TestServer::start().await;
    server.begin_stop();
    server.stopped().await.expect("a stop is no error");
    assert!(
        TcpStream::connect(server.addr()).await.is_err(),
        "nothing listens any more"
    );
}

#[tokio::test]
async fn idle_connections_are_closed_at_once() {
    let mut server = TestServer::start().await;
    let app = server.app();
    let mut fresh = server.connect().await;
    let mut used = server.connect().await;
    used.send(GET).await;
    let request = app.request().await;
    app.reply(&request, message! { "status" => 200 }).await;
    used.response().await;
    server.begin_stop();
    used.expect_end().await;
    fresh.expect_end().await;
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn a_request_under_way_is_finished() {
    let mut server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(GET).await;
    let request = app.request().await;
    let mut streaming = server.connect().await;
    streaming.send(GET).await;
    let stream = app.request().await;
    let start = message! { "status" => 200, "content" => b"one", "more_content" => true };
    app.reply(&stream, start).await;
    streaming.head().await;
    streaming.expect_chunk(b"one").await;
    server.begin_stop();
    support::until("the server to stop listening", || {
        std::net::TcpStream::connect(server.addr()).is_err()
    })
    .await;
    assert!(!server.has_stopped());
    app.reply(&request, message! { "status" => 200, "content" => b"done" })
        .await;
    let response = client.response().await;
    assert_eq!(response.body, b"done");
    assert_eq!(response.head.header("connection"), Some("close"));
    client.expect_end().await;
    app.reply(&stream, message! { "content" => b"two" }).await;
    streaming.expect_chunk(b"two").await;
    streaming.expect_chunk(b"").await;
    streaming.expect_end().await;
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn requests_that_do_not_get_on_hold_up_no_stop() {
    let mut server = TestServer::configured(|builder| {
        builder
            .shutdown_timeout(LONG)
            .shutdown_read_timeout(SHORT)
            .body_chunk_size(1_000)
            .inline_body_size(1_000)
            // Both are longer than the test.
            .header_read_timeout(LONG)
            .body_read_timeout(LONG)
    })
    .await;
    let app = server.app();
    let mut head = server.connect().await;
    head.send("GET / HTTP/1.1\r\nHost: a.exam").await;
    let mut beginning = server.connect().await;
    let post = "POST /post HTTP/1.1\r\nHost: a.example\r\nContent-Length: 50000\r\n\r\n";
    beginning.send(post).await;
    let mut rest = server.connect().await;
    rest.send(post).await;
    rest.send([b'x'; 1_000]).await;
    let upload = app.request().await;
    let mut response = server.connect().await;
    response.send(post).await;
    response.send([b'x'; 1_000]).await;
    let answered = app.request().await;
    let start = message! { "status" => 200, "content" => b"one", "more_content" => true };
    app.reply(&answered, start).await;
    response.head().await;

    server.begin_stop();
    server.stopped().await.unwrap();
    for client in [&mut head, &mut beginning, &mut rest] {
        assert_eq!(client.response().await.head.status, 408);
    }
    response.expect_chunk(b"one").await;
    response.expect_end().await;
    assert!(app.upload(&upload).await.closed, "the application is told");
}

#[tokio::test]
async fn an_upload_that_gets_on_is_finished() {
    let mut server = TestServer::configured(|builder| {
        builder
            .shutdown_read_timeout(SHORT)
            .body_chunk_size(1_000)
            .inline_body_size(1_000)
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 21000\r\n\r\n")
        .await;
    client.send([b'x'; 1_000]).await;
    let request = app.request().await;
    server.begin_stop();
    let send = async {
        for _ in 0..20 {
            client.send([b'x'; 1_000]).await;
            tokio::time::sleep(SHORT / 5).await;
        }
    };
    let (upload, ()) = tokio::join!(app.upload(&request), send);
    assert_eq!((upload.content.len(), upload.closed), (21_000, false));
    app.reply(&request, message! { "status" => 200, "content" => b"ok" })
        .await;
    assert_eq!(client.response().await.body, b"ok");
    server.stopped().await.unwrap();
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off() {
    let mut server = TestServer::configured(|builder| builder.shutdown_timeout(SHORT)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(GET).await;
    app.request().await;
    let mut silent = Socket::open(&server).await;
    server.begin_stop();
    server.stopped().await.expect("the limit is no error");
    let rest = client.rest().await;
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 503 "),
        "{}",
        rest.escape_ascii()
    );
    assert_eq!(silent.client.frame().await.close_code(), 1001);
    silent.client.rest().await;
}

#[tokio::test]
async fn websockets_are_closed_with_1001_and_reported() {
    // As long as the clients take to answer, whatever else the machine does.
    let mut server = TestServer::configured(|builder| builder.websocket_close_timeout(LONG)).await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(Socket::open(&server).await);
    }
    server.begin_stop();
    for socket in &mut sockets {
        assert_eq!(socket.client.frame().await.close_code(), 1001);
        socket.client.send(Frame::close(1001).masked()).await;
        socket.client.expect_end().await;
    }
    server.stopped().await.unwrap();
    let gone = sockets[0].app.pending().await;
    assert_eq!(gone.len(), 10);
    for (channel, message) in gone {
        assert_eq!(channel, "websocket.disconnect");
        assert_eq!(message.int("code").unwrap(), 1001);
    }
}

#[tokio::test]
async fn websockets_of_silent_clients_are_reported_too() {
    let mut server = TestServer::configured(|builder| builder.websocket_close_timeout(SHORT)).await;
    let socket = Socket::open(&server).await;
    server.begin_stop();
    server.stopped().await.unwrap();
    let gone = socket.app.pending().await;
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(gone[0].0, "websocket.disconnect");
}

#[tokio::test]
async fn a_handshake_that_waits_is_refused_and_reported() {
    let mut server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(handshake("/", &[])).await;
    app.next("websocket.connect").await;
    server.begin_stop();
    let status = client.response().await.head.status;
    assert!(matches!(status, 403 | 503), "{status}");
    client.expect_end().await;
    server.stopped().await.unwrap();
    assert_eq!(app.pending().await[0].0, "websocket.disconnect");
}

#[tokio::test]
async fn requests_cut_off_are_reported() {
    let mut server = TestServer::configured(|builder| builder.shutdown_timeout(SHORT)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(GET).await;
    let request = app.request().await;
    let start = message! { "status" => 200, "content" => b"one", "more_content" => true };
    app.reply(&request, start).await;
    client.head().await;
    server.begin_stop();
    server.stopped().await.unwrap();
    let gone = app.pending().await;
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(gone[0].0, "http.disconnect");
    assert_eq!(gone[0].1.text("path").unwrap(), "/work");
}

#[tokio::test]
async fn a_pipelined_request_is_not_begun_after_the_stop() {
    let mut server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send(format!("{GET}{}", GET.replace("work", "more")))
        .await;
    let request = app.request().await;
    assert_eq!(request.text("path").unwrap(), "/work");
    server.begin_stop();
    support::until("the server to stop listening", || {
        std::net::TcpStream::connect(server.addr()).is_err()
    })
    .await;
    app.reply(&request, message! { "status" => 200 }).await;
    assert_eq!(
        client.response().await.head.header("connection"),
        Some("close")
    );
    client.expect_end().await;
    server.stopped().await.unwrap();
    assert!(app.pending().await.is_empty());
}

#[tokio::test]
async fn a_busy_client_cannot_put_the_stop_off() {
    let mut server = TestServer::configured(|builder| builder.shutdown_timeout(20 * SHORT)).await;
    let _app = server.app().serve(|app, request| async move {
        app.reply(&request, message! { "status" => 200 }).await;
    });
    let answers = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&answers);
    let mut client = server.connect().await;
    let busy = tokio::spawn(async move {
        loop {
            let _ = client.try_send(GET).await;
            while client.buffered().is_empty() && client.fill().await {}
            if client.buffered().is_empty() {
                break;
            }
            client.response().await;
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    support::until("the client to be busy", || {
        answers.load(Ordering::SeqCst) > 10
    })
    .await;
    server.begin_stop();
    server.stopped().await.unwrap();
    busy.await.unwrap();
}
