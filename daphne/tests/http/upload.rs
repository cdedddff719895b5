//! Request bodies.

use std::sync::Arc;

use asgiref::protocol::http::CHUNK_SIZE;
use asgiref::{ChannelName, LayerConfig, message};

use crate::post;
use crate::support::layer::{Fault, FaultyLayer};
use crate::support::pattern::pattern;
use crate::support::server::{SHORT, TestServer};

#[tokio::test]
async fn a_short_body_is_in_the_request_itself() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    let body = pattern(1_000);
    client.send(post("/p", &["Content-Length: 1000"])).await;
    client.send(&body).await;
    let request = app.request().await;
    assert_eq!(request.opt_text("body_channel").unwrap(), None);
    assert_eq!(request.bytes("body").unwrap(), &body);
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    for length in [
        0,
        1,
        CHUNK_SIZE - 1,
        CHUNK_SIZE,
        CHUNK_SIZE + 1,
        2 * CHUNK_SIZE,
        5 * CHUNK_SIZE + 12_345,
    ] {
        let body = pattern(length);
        let upload = async {
            let request = app.request().await;
            let upload = app.upload(&request).await;
            app.reply(&request, message! { "status" => 200 }).await;
            upload
        };
        let send = async {
            client
                .send(post("/p", &[&format!("Content-Length: {length}")]))
                .await;
            client.send(&body).await;
            client.response().await
        };
        let (upload, response) = tokio::join!(upload, send);
        assert_eq!(response.head.status, 200);
        assert!(
            upload.content == body,
            "a body of {length} bytes arrives changed"
        );
        assert!(
            upload.largest <= CHUNK_SIZE,
            "a message of {} bytes",
            upload.largest
        );
        assert!(!upload.closed);
    }
}

#[tokio::test]
async fn a_chunked_upload_arrives_whole_whatever_its_chunks() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    let body = pattern(2 * CHUNK_SIZE + 77);
    let upload = async {
        let request = app.request().await;
        let upload = app.upload(&request).await;
        app.reply(&request, message! { "status" => 200 }).await;
        upload
    };
    let send = async {
        client
            .send(post("/p", &["Transfer-Encoding: chunked"]))
            .await;
        let mut rest = &body[..];
        let mut size = 1;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            client
                .send(format!("{:X};name=value\r\n", chunk.len()))
                .await;
            client.send(chunk).await;
            client.send("\r\n").await;
            rest = after;
            size = size * 3 + 1;
        }
        client.send("0\r\nX-Trailer: ignored\r\n\r\n").await;
        client.response().await
    };
    let (upload, response) = tokio::join!(upload, send);
    assert_eq!(response.head.status, 200);
    assert!(upload.content == body);
}

#[tokio::test]
async fn expect_100_continue_is_answered_before_the_body() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send(post("/p", &["Content-Length: 3", "Expect: 100-continue"]))
        .await;
    let interim = client.head().await;
    assert_eq!(interim.status, 100);
    client.send("abc").await;
    let request = app.request().await;
    assert_eq!(app.upload(&request).await.content, b"abc");
    app.reply(&request, message! { "status" => 200 }).await;
    assert_eq!(client.response().await.head.status, 200);
}

#[tokio::test]
async fn a_client_gone_mid_upload_is_reported_on_the_body_channel() {
    let server = TestServer::start().await;
    let app = server.app();
    for abort in [false, true] {
        let mut client = server.connect().await;
        let length = 4 * CHUNK_SIZE;
        client
            .send(post("/p", &[&format!("Content-Length: {length}")]))
            .await;
        client.send(pattern(2 * CHUNK_SIZE)).await;
        let request = app.request().await;
        if abort {
            client.abort();
        } else {
            drop(client);
        }
        let upload = app.upload(&request).await;
        assert!(upload.closed, "the last message says that the client left");
        assert!(upload.content.len() <= 2 * CHUNK_SIZE);
        assert!(pattern(length).starts_with(&upload.content));
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn a_malformed_chunk_ends_the_upload_as_a_client_that_left() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send(post("/p", &["Transfer-Encoding: chunked"]))
        .await;
    let start = pattern(2 * CHUNK_SIZE);
    client.send(format!("{:x}\r\n", start.len())).await;
    client.send(&start).await;
    client.send("\r\n").await;
    let request = app.request().await;
    let _ = client.try_send("zz\r\nnot a chunk\r\n").await;
    assert!(app.upload(&request).await.closed);
    let rest = client.rest().await;
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 400 "),
        "{}",
        rest.escape_ascii()
    );
    server.expect_serving().await;
}

#[tokio::test]
async fn a_slow_application_slows_the_client_down() {
    let config = LayerConfig::new()
        .channel_capacity("http.request.body?*", 2)
        .unwrap();
    let server = TestServer::with_config(config, |builder| builder).await;
    let mut client = server.connect().await;
    let length = 64 * CHUNK_SIZE;
    client
        .send(post("/p", &[&format!("Content-Length: {length}")]))
        .await;
    let body = pattern(length);
    // While the application reads nothing, the client cannot get rid of its 32 MB: buffers
    // between the two hold a few chunks, not all of it.
    let mut sent = 0;
    while sent < length {
        let part = &body[sent..sent + CHUNK_SIZE];
        match tokio::time::timeout(SHORT, client.try_send(part)).await {
            Ok(result) => result.unwrap(),
            Err(_) => break,
        }
        sent += CHUNK_SIZE;
    }
    assert!(sent < length, "nothing slowed the client down");
}

#[tokio::test]
async fn chunks_wait_for_room_and_none_is_lost() {
    let config = LayerConfig::new()
        .channel_capacity("http.request.body?*", 1)
        .unwrap();
    let layer = Arc::new(FaultyLayer::new(config));
    let server = TestServer::on(Arc::clone(&layer) as _, |builder| builder).await;
    let app = server.app();
    let length = 20 * CHUNK_SIZE;
    let body = pattern(length);
    let addr = server.addr();
    let sent = body.clone();
    let client = tokio::spawn(async move {
        let mut client = crate::support::client::Client::connect(addr).await;
        client
            .send(post("/p", &[&format!("Content-Length: {length}")]))
            .await;
        client.send(&sent).await;
        client.response().await.head.status
    });
    let request = app.request().await;
    // Full for every channel for a while, then open again.
    layer.set(Fault::Full);
    tokio::time::sleep(SHORT).await;
    layer.set(Fault::None);
    let upload = app.upload(&request).await;
    assert!(upload.content == body, "the body arrives changed");
    assert!(upload.chunks >= 19);
    app.reply(&request, message! { "status" => 200 }).await;
    assert_eq!(client.await.unwrap(), 200);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_before_it_is_read() {
    let server = TestServer::configured(|builder| builder.max_request_body(Some(10_000))).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(post("/big", &["Content-Length: 10001"])).await;
    assert_eq!(client.response().await.head.status, 413);

    let mut client = server.connect().await;
    client
        .send(post(
            "/big",
            &["Content-Length: 10001", "Expect: 100-continue"],
        ))
        .await;
    assert_eq!(client.head().await.status, 413);

    let mut client = server.connect().await;
    client.send(post("/fits", &["Content-Length: 10000"])).await;
    client.send(pattern(10_000)).await;
    let request = app.request().await;
    assert_eq!(
        request.text("path").unwrap(),
        "/fits",
        "the others were never asked"
    );
    assert_eq!(app.upload(&request).await.content.len(), 10_000);
    app.reply(&request, message! { "status" => 200 }).await;
    assert_eq!(client.response().await.head.status, 200);
}

#[tokio::test]
async fn a_chunked_body_that_grows_beyond_the_limit_is_refused() {
    let server = TestServer::configured(|builder| builder.max_request_body(Some(10_000))).await;
    let mut client = server.connect().await;
    client
        .send(post("/big", &["Transfer-Encoding: chunked"]))
        .await;
    for _ in 0..3 {
        let _ = client.try_send(format!("{:x}\r\n", 4_000)).await;
        let _ = client.try_send(vec![b'x'; 4_000]).await;
        let _ = client.try_send("\r\n").await;
    }
    assert_eq!(client.response().await.head.status, 413);
    server.expect_serving().await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_reaches_the_client() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    let length = 8 * CHUNK_SIZE;
    client
        .send(post("/p", &[&format!("Content-Length: {length}")]))
        .await;
    client.send(pattern(2 * CHUNK_SIZE)).await;
    let request = app.request().await;
    app.reply(
        &request,
        message! { "status" => 403, "content" => b"no need" },
    )
    .await;
    let response = client.response().await;
    assert_eq!(response.head.status, 403);
    assert_eq!(response.body, b"no need");
    server.expect_serving().await;
}

#[tokio::test]
async fn a_long_body_has_a_single_reader_channel_of_its_own() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client
            .send(post("/p", &["Transfer-Encoding: chunked"]))
            .await;
        let body = pattern(3 * CHUNK_SIZE);
        client.send(format!("{:x}\r\n", body.len())).await;
        client.send(&body).await;
        client.send("\r\n0\r\n\r\n").await;
        let request = app.request().await;
        let channel: ChannelName = request.channel("body_channel").unwrap();
        assert!(
            channel.as_str().starts_with("http.request.body?"),
            "{channel}"
        );
        assert!(
            channel.as_str().len() < 100,
            "Python peers take no longer names"
        );
        assert!(names.insert(channel), "the name was used before");
        assert!(app.upload(&request).await.content == body);
    }
}
