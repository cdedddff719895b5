//! Clients that are slow, and applications that are.

use asgiref::message;

use crate::support::server::{SHORT, TestServer};
use crate::support::within;
use crate::{get, post};

/// Sends a byte every now and then, for as long as the server takes them.
async fn drip(client: &mut crate::support::client::Client, bytes: impl Iterator<Item = u8>) {
    within("the server to lose its patience", async {
        for byte in bytes {
            if client.try_send([byte]).await.is_err() {
                break;
            }
            tokio::select! {
                _ = client.fill() => break,
                () = tokio::time::sleep(SHORT / 10) => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let server = TestServer::configured(|builder| {
        builder
            .header_read_timeout(SHORT)
            .server_name("tested".to_owned())
    })
    .await;
    let mut client = server.connect().await;
    let head = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ";
    drip(&mut client, head.bytes().chain(std::iter::repeat(b'x'))).await;
    let response = client.response().await;
    assert_eq!(response.head.status, 408);
    assert_eq!(response.head.header("connection"), Some("close"));
    assert!(response.head.header("date").unwrap().ends_with(" GMT"));
    assert_eq!(response.head.header("server"), Some("tested"));
    client.expect_end().await;
    server.expect_serving().await;
    assert!(server.app().pending().await.is_empty());
}

#[tokio::test]
async fn a_silent_connection_is_given_up() {
    let server = TestServer::configured(|builder| {
        builder.header_read_timeout(SHORT).keep_alive_timeout(SHORT)
    })
    .await;
    let mut client = server.connect().await;
    // Nothing was asked, so nothing is answered.
    assert_eq!(client.rest().await.escape_ascii().to_string(), "");
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let server = TestServer::configured(|builder| builder.body_read_timeout(SHORT)).await;
    let mut client = server.connect().await;
    client.send(post("/p", &["Content-Length: 10"])).await;
    client.send("abc").await;
    assert_eq!(client.response().await.head.status, 408);
    client.expect_end().await;
    server.expect_serving().await;
}

#[tokio::test]
async fn a_slow_but_steady_upload_is_not_given_up() {
    let server = TestServer::configured(|builder| builder.body_read_timeout(2 * SHORT)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(post("/p", &["Content-Length: 20"])).await;
    for byte in b"12345678901234567890" {
        client.send([*byte]).await;
        tokio::time::sleep(SHORT / 4).await;
    }
    let request = app.request().await;
    assert_eq!(app.upload(&request).await.content, b"12345678901234567890");
    app.reply(&request, message! { "status" => 200 }).await;
    assert_eq!(client.response().await.head.status, 200);
}

#[tokio::test]
async fn a_response_that_stalls_is_broken_off() {
    let server = TestServer::configured(|builder| builder.response_idle_timeout(Some(SHORT))).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(get("/stalls")).await;
    let request = app.request().await;
    let start = message! { "status" => 200, "content" => b"some", "more_content" => true };
    app.reply(&request, start).await;
    let head = client.head().await;
    assert_eq!(head.status, 200);
    client.expect_chunk(b"some").await;
    // No second head, no end that would pass for a complete response.
    client.expect_end().await;
    app.reply(&request, message! { "content" => b"late" }).await;
    server.expect_serving().await;
}

#[tokio::test]
async fn an_application_may_break_its_response_off() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(get("/breaks")).await;
    let request = app.request().await;
    let start = message! { "status" => 200, "content" => b"some", "more_content" => true };
    app.reply(&request, start).await;
    client.head().await;
    client.expect_chunk(b"some").await;
    app.reply(&request, message! { "closed" => true }).await;
    client.expect_end().await;
    server.expect_serving().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.limit_receive_buffer(32_768);
    client.send(get("/large")).await;
    let request = app.request().await;
    let body: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 253) as u8).collect();
    let reply = message! { "status" => 200, "content" => body.clone() };
    app.reply(&request, reply).await;
    for _ in 0..10 {
        client.fill().await;
        tokio::time::sleep(SHORT / 10).await;
    }
    assert_eq!(client.response().await.body, body);
}
