//! Several requests on one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asgiref::{LayerConfig, Message, message};

use crate::get;
use crate::support::app::App;
use crate::support::server::{SHORT, TestServer};

/// Answers with the path that was asked for.
async fn echo_path(app: App, request: Message) {
    let path = request.text("path").unwrap().to_string();
    app.reply(
        &request,
        message! { "status" => 200, "content" => path.into_bytes() },
    )
    .await;
}

#[tokio::test]
async fn ten_thousand_requests_on_one_connection() {
    let server = TestServer::start().await;
    let _app = server.app().serve(echo_path);
    let mut client = server.connect().await;
    for number in 0..10_000 {
        let path = format!("/{number}");
        client.send(get(&path)).await;
        let response = client.response().await;
        assert_eq!(response.head.status, 200);
        assert_eq!(response.body, path.as_bytes());
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = TestServer::start().await;
    let answered = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&answered);
    // The earlier the request, the later the application answers, if it hears of them at once.
    let _app = server.app().serve(move |app, request| {
        let counter = Arc::clone(&counter);
        async move {
            let number: u64 = request.text("path").unwrap()[1..].parse().unwrap();
            tokio::time::sleep(Duration::from_millis(5 * (20 - number))).await;
            counter.fetch_add(1, Ordering::SeqCst);
            echo_path(app, request).await;
        }
    });
    let mut client = server.connect().await;
    let requests: String = (0..20).map(|number| get(&format!("/{number}"))).collect();
    client.send(requests).await;
    for number in 0..20 {
        let response = client.response().await;
        assert_eq!(response.body, format!("/{number}").into_bytes());
    }
    assert_eq!(answered.load(Ordering::SeqCst), 20, "each was asked once");
}

#[tokio::test]
async fn a_pipelined_request_after_a_body_is_not_taken_for_part_of_it() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send(format!(
            "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc\
             POST /b HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nde\r\n0\r\n\r\n{}",
            get("/c")
        ))
        .await;
    for (path, body) in [("/a", &b"abc"[..]), ("/b", b"de"), ("/c", b"")] {
        let request = app.request().await;
        assert_eq!(request.text("path").unwrap(), path);
        assert_eq!(app.upload(&request).await.content, body);
        echo_path(app.clone(), request).await;
        assert_eq!(client.response().await.body, path.as_bytes());
    }
}

#[tokio::test]
async fn requests_in_single_bytes_are_understood() {
    let server = TestServer::start().await;
    let _app = server.app().serve(echo_path);
    let mut client = server.connect().await;
    for byte in get("/slow-typist").bytes() {
        client.send([byte]).await;
    }
    assert_eq!(client.response().await.body, b"/slow-typist");
}

#[tokio::test]
async fn an_empty_line_before_a_request_is_ignored() {
    let server = TestServer::start().await;
    let _app = server.app().serve(echo_path);
    let mut client = server.connect().await;
    client.send(format!("\r\n{}", get("/after"))).await;
    assert_eq!(client.response().await.body, b"/after");
}

#[tokio::test]
async fn connection_close_is_honoured() {
    let server = TestServer::start().await;
    let _app = server.app().serve(echo_path);
    for value in ["close", "Close", "x-first, close"] {
        let mut client = server.connect().await;
        client
            .send(format!(
                "GET /bye HTTP/1.1\r\nHost: a.example\r\nConnection: {value}\r\n\r\n"
            ))
            .await;
        let response = client.response().await;
        assert_eq!(response.body, b"/bye", "Connection: {value}");
        assert_eq!(response.head.header("connection"), Some("close"));
        client.expect_end().await;
    }
}

#[tokio::test]
async fn http_1_0_has_no_chunks_and_ends_with_the_connection() {
    let server = TestServer::start().await;
    let _app = server.app().serve(|app, request| async move {
        assert_eq!(request.text("http_version").unwrap(), "1.0");
        let start = message! { "status" => 200, "content" => b"one ", "more_content" => true };
        app.reply(&request, start).await;
        app.reply(&request, message! { "content" => b"two" }).await;
    });
    let mut client = server.connect().await;
    client.send("GET /old HTTP/1.0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.head.header("transfer-encoding"), None);
    assert_eq!(response.body, b"one two");
    client.expect_end().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = TestServer::configured(|builder| builder.keep_alive_timeout(SHORT)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(get("/work")).await;
    let request = app.request().await;
    // Work that takes longer than the connection may be idle.
    tokio::time::sleep(2 * SHORT).await;
    echo_path(app, request).await;
    assert_eq!(client.response().await.body, b"/work");
    client.expect_end().await;
}

#[tokio::test]
async fn many_connections_at_once_do_not_get_each_others_answers() {
    let config = LayerConfig::new().capacity(1_000);
    let server = TestServer::with_config(config, |builder| builder).await;
    let _app = server.app().serve(echo_path);
    let clients: Vec<_> = (0..100)
        .map(|client| {
            let addr = server.addr();
            tokio::spawn(async move {
                let mut connection = crate::support::client::Client::connect(addr).await;
                for number in 0..10 {
                    let path = format!("/{client}/{number}");
                    connection.send(get(&path)).await;
                    assert_eq!(connection.response().await.body, path.as_bytes());
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}
