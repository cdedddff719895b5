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
async fn a_body_that_comes_by_the_byte_is_given_up() {
    let server = TestServer::configured(|builder| builder.body_read_timeout(SHORT)).await;
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut client = server.connect().await;
        client.send(post("/p", &[framing])).await;
        drip(
            &mut client,
            std::iter::repeat(b"1\r\nx\r\n").flatten().copied(),
        )
        .await;
        let head = client.head().await;
        assert_eq!(head.status, 408, "{framing}");
        assert_eq!(head.header("connection"), Some("close"));
    }
    server.expect_serving().await;
    assert!(server.app().pending().await.is_empty());
}

#[tokio::test]
async fn the_rest_of_a_body_that_comes_by_the_byte_is_given_up() {
    let server = TestServer::configured(|builder| {
        builder.body_read_timeout(2 * SHORT).body_chunk_size(1_000)
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(post("/p", &["Content-Length: 1000000"])).await;
    client.send([b'x'; 1_000]).await;
    let request = app.request().await;
    let (upload, ()) = tokio::join!(
        app.upload(&request),
        drip(&mut client, std::iter::repeat(b'x'))
    );
    assert!(upload.closed, "the application is told");
    assert_eq!(client.head().await.status, 408);
}

#[tokio::test]
async fn the_rest_of_a_body_may_take_longer_than_any_limit_if_it_gets_on() {
    let server = TestServer::configured(|builder| {
        builder
            .body_read_timeout(2 * SHORT)
            .body_min_rate(1_000)
            .http_timeout(2 * SHORT)
            .body_chunk_size(20_000)
            .inline_body_size(20_000)
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(post("/p", &["Content-Length: 40000"])).await;
    client.send([b'x'; 20_000]).await;
    let request = app.request().await;
    // One message of it alone takes several times the limits.
    let send = async {
        for _ in 0..40 {
            client.send([b'x'; 500]).await;
            tokio::time::sleep(SHORT / 5).await;
        }
    };
    let (upload, ()) = tokio::join!(app.upload(&request), send);
    assert_eq!((upload.content.len(), upload.closed), (40_000, false));
    app.reply(&request, message! { "status" => 200 }).await;
    assert_eq!(client.response().await.head.status, 200);
}

#[tokio::test]
async fn time_the_application_takes_is_not_held_against_the_client() {
    let config = asgiref::LayerConfig::new().capacity(1);
    let server = TestServer::with_config(config, |builder| {
        builder
            .body_read_timeout(SHORT)
            .body_chunk_size(1_000)
            .inline_body_size(1_000)
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(post("/p", &["Content-Length: 20000"])).await;
    client.send([b'x'; 20_000]).await;
    let request = app.request().await;
    tokio::time::sleep(3 * SHORT).await;
    let upload = app.upload(&request).await;
    assert_eq!((upload.content.len(), upload.closed), (20_000, false));
    app.reply(&request, message! { "status" => 200 }).await;
    assert_eq!(client.response().await.head.status, 200);
}

#[tokio::test]
async fn a_slow_but_steady_upload_is_not_given_up() {
    let server =
        TestServer::configured(|builder| builder.body_read_timeout(2 * SHORT).body_min_rate(0))
            .await;
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
