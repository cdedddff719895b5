//! Requests the server answers by itself because the application cannot.

use std::sync::Arc;

use asgiref::{LayerConfig, message};

use crate::support::layer::{Fault, FaultyLayer, SECRET};
use crate::support::server::{SHORT, TestServer};
use crate::support::until;
use crate::{get, post};

#[tokio::test]
async fn a_full_request_channel_is_answered_with_503() {
    let config = LayerConfig::new().capacity(2);
    let server = TestServer::with_config(config, |builder| builder).await;
    let app = server.app();
    let mut waiting = Vec::new();
    for sent in 1..=2 {
        let mut client = server.connect().await;
        client.send(get("/waits")).await;
        app.expect_waiting("http.request", sent).await;
        waiting.push(client);
    }
    let mut refused = server.connect().await;
    refused.send(get("/refused")).await;
    assert_eq!(refused.response().await.head.status, 503);
    for mut client in waiting {
        let request = app.request().await;
        assert_eq!(request.text("path").unwrap(), "/waits");
        app.reply(&request, message! { "status" => 200 }).await;
        assert_eq!(client.response().await.head.status, 200);
    }
    server.expect_serving().await;
    assert!(
        app.pending().await.is_empty(),
        "the refused request is forgotten"
    );
}

#[tokio::test]
async fn a_request_nobody_answers_gets_503_in_time() {
    let server = TestServer::configured(|builder| builder.http_timeout(SHORT)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(get("/never")).await;
    let request = app.request().await;
    let response = client.response().await;
    assert_eq!(response.head.status, 503);
    assert_eq!(
        response.head.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    // An answer that comes after all is not taken for that of the next request.
    app.reply(&request, message! { "status" => 200, "content" => b"late" })
        .await;
    client.send(get("/next")).await;
    let next = app.request().await;
    assert_ne!(
        next.text("reply_channel").unwrap(),
        request.text("reply_channel").unwrap()
    );
    app.reply(&next, message! { "status" => 200, "content" => b"next" })
        .await;
    assert_eq!(client.response().await.body, b"next");
}

#[tokio::test]
async fn a_timeout_does_not_stop_the_timeouts_of_others() {
    let server = TestServer::configured(|builder| {
        builder
            .http_timeout(SHORT)
            .response_idle_timeout(Some(SHORT))
    })
    .await;
    let app = server.app();
    for round in 0..3 {
        let mut started = server.connect().await;
        started.send(get("/started")).await;
        let request = app.request().await;
        let start = message! { "status" => 200, "content" => b"a", "more_content" => true };
        app.reply(&request, start).await;
        let mut never = server.connect().await;
        never.send(get("/never")).await;
        app.request().await;
        assert_eq!(never.response().await.head.status, 503, "round {round}");
        assert_eq!(started.head().await.status, 200);
        let rest = started.rest().await;
        assert!(
            !rest.ends_with(b"0\r\n\r\n"),
            "the response was cut off, not complete"
        );
    }
}

#[tokio::test]
async fn a_response_that_streams_longer_than_the_timeout_is_not_cut_off() {
    let server = TestServer::configured(|builder| builder.http_timeout(SHORT)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(get("/stream")).await;
    let request = app.request().await;
    app.reply(
        &request,
        message! { "status" => 200, "more_content" => true },
    )
    .await;
    client.head().await;
    let began = std::time::Instant::now();
    while began.elapsed() < 3 * SHORT {
        app.reply(
            &request,
            message! { "content" => b"tick", "more_content" => true },
        )
        .await;
        client.expect_chunk(b"tick").await;
        tokio::time::sleep(SHORT / 5).await;
    }
    app.reply(&request, message! { "content" => b"" }).await;
    client.expect_chunk(b"").await;
}

#[tokio::test]
async fn a_failing_layer_is_answered_with_an_error_that_tells_nothing() {
    let layer = Arc::new(FaultyLayer::new(LayerConfig::new()));
    let server = TestServer::on(Arc::clone(&layer) as _, |builder| builder).await;
    layer.set(Fault::Broken);
    let mut client = server.connect().await;
    for request in [
        get("/a?token=1"),
        post("/b", &["Content-Length: 3"]) + "abc",
    ] {
        client.send(request).await;
        let response = client.response().await;
        assert_eq!(response.head.status, 503, "{response:?}");
        let text = format!("{:?}{}", response.head, response.body.escape_ascii());
        for word in SECRET.split(' ') {
            assert!(!text.contains(word), "the client learns {word:?}: {text}");
        }
    }
    layer.set(Fault::None);
    server.expect_serving().await;
}

#[tokio::test]
async fn replies_are_received_again_once_the_layer_has_recovered() {
    let layer = Arc::new(FaultyLayer::new(LayerConfig::new()));
    let server = TestServer::on(Arc::clone(&layer) as _, |builder| builder).await;
    let app = server.app();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.send(get("/")).await;
        clients.push((client, app.request().await));
    }
    layer.set(Fault::Deaf);
    for (_, request) in &clients {
        app.reply(request, message! { "status" => 200, "content" => b"kept" })
            .await;
    }
    until("the failure to be noticed", || {
        server.statistics().layer_failures > 0
    })
    .await;
    layer.set(Fault::None);
    for (client, _) in &mut clients {
        assert_eq!(client.response().await.body, b"kept");
    }
}

#[tokio::test]
async fn a_layer_that_fails_mid_upload_ends_the_upload() {
    let layer = Arc::new(FaultyLayer::new(LayerConfig::new()));
    let server = TestServer::on(Arc::clone(&layer) as _, |builder| {
        builder.body_read_timeout(SHORT)
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(post("/p", &["Content-Length: 4000000"])).await;
    client.send(vec![b'x'; 1_500_000]).await;
    app.request().await;
    layer.set(Fault::Broken);
    let _ = client.try_send(vec![b'x'; 1_500_000]).await;
    // The client is not left waiting: an error or the end of the connection.
    let seen = client.rest().await;
    assert!(
        seen.is_empty() || seen.starts_with(b"HTTP/1.1 5") || seen.starts_with(b"HTTP/1.1 408"),
        "{}",
        seen.escape_ascii()
    );
    layer.set(Fault::None);
    server.expect_serving().await;
}

#[tokio::test]
async fn error_pages_name_their_status() {
    let config = LayerConfig::new()
        .channel_capacity("http.request", 0)
        .unwrap();
    let server = TestServer::with_config(config, |builder| builder).await;
    let mut client = server.connect().await;
    client.send(get("/")).await;
    let response = client.response().await;
    assert_eq!(response.head.status, 503);
    let page = String::from_utf8(response.body).unwrap();
    assert!(page.contains("503 Service Unavailable"), "{page}");
    assert!(page.contains("Request queue full."), "{page}");
    let mut client = server.connect().await;
    client
        .send("HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let response = client.response_to("HEAD").await;
    assert_eq!(response.head.status, 503);
    assert_eq!(
        response.head.header("content-length"),
        Some(&*page.len().to_string())
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let server = TestServer::configured(|builder| builder.max_connections(Some(2))).await;
    let app = server.app();
    let mut first = server.connect().await;
    first.send(get("/1")).await;
    let one = app.request().await;
    let mut second = server.connect().await;
    second.send(get("/2")).await;
    let two = app.request().await;
    let mut third = server.connect().await;
    third.send(get("/3")).await;
    app.reply(&one, message! { "status" => 200 }).await;
    assert_eq!(first.response().await.head.status, 200);
    assert!(app.pending().await.is_empty(), "the third has to wait");
    drop(first);
    let three = app.request().await;
    assert_eq!(three.text("path").unwrap(), "/3");
    app.reply(&three, message! { "status" => 200 }).await;
    assert_eq!(third.response().await.head.status, 200);
    app.reply(&two, message! { "status" => 200 }).await;
    assert_eq!(second.response().await.head.status, 200);
}
