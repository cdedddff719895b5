//! Time limits of WebSockets.

use std::time::Duration;

use asgiref::message;

use crate::support::frames::{Frame, PING};
use crate::support::server::{SHORT, TestServer};
use crate::support::websocket::{Socket, handshake};

#[tokio::test]
async fn a_handshake_nobody_answers_is_rejected() {
    let server =
        TestServer::configured(|builder| builder.websocket_connect_timeout(Some(SHORT))).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(handshake("/", &[])).await;
    let connect = app.next("websocket.connect").await;
    assert_eq!(client.response().await.head.status, 403);
    client.expect_end().await;
    let gone = app.next("websocket.disconnect").await;
    assert_eq!(gone.int("code").unwrap(), 1006);
    app.reply(&connect, message! { "accept" => true }).await;
    server.expect_serving().await;
}

#[tokio::test]
async fn without_a_connect_timeout_the_client_waits() {
    let server = TestServer::configured(|builder| {
        builder
            .websocket_connect_timeout(None)
            .websocket_handshake_timeout(None)
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(handshake("/", &[])).await;
    let connect = app.next("websocket.connect").await;
    tokio::time::sleep(2 * SHORT).await;
    app.reply(&connect, message! { "accept" => true }).await;
    assert_eq!(client.head().await.status, 101);
}

#[tokio::test]
async fn a_socket_that_lived_its_time_is_closed() {
    let server = TestServer::configured(|builder| builder.websocket_timeout(Some(SHORT))).await;
    let mut socket = Socket::open(&server).await;
    // Its age counts, not its being idle.
    let mut frames = 0;
    let close = loop {
        let _ = socket.client.try_send(Frame::text("busy").masked()).await;
        frames += 1;
        tokio::select! {
            frame = socket.client.frame() => break frame,
            () = tokio::time::sleep(SHORT / 20) => {}
        }
    };
    assert_eq!(close, Frame::close(1000));
    socket.client.send(Frame::close(1000).masked()).await;
    let gone = socket.disconnect().await;
    assert_eq!(gone.int("code").unwrap(), 1000);
    assert!((2..=frames + 1).contains(&gone.int("order").unwrap()));
}

#[tokio::test]
async fn without_a_lifetime_a_socket_stays() {
    let server = TestServer::configured(|builder| builder.websocket_timeout(None)).await;
    let mut socket = Socket::open(&server).await;
    tokio::time::sleep(2 * SHORT).await;
    socket.expect_silence_then_alive().await;
}

#[tokio::test]
async fn idle_sockets_are_pinged_and_stay_if_they_answer() {
    let server = TestServer::configured(|builder| {
        builder
            .ping_interval(Some(SHORT / 5))
            .ping_timeout(8 * SHORT)
    })
    .await;
    let mut socket = Socket::open(&server).await;
    let mut payloads = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let ping = socket.client.frame().await;
        assert_eq!(ping.opcode(), PING);
        socket
            .client
            .send(Frame::pong(ping.payload.clone()).masked())
            .await;
        payloads.insert(ping.payload);
    }
    socket.reply(message! { "text" => "still here" }).await;
    while socket.client.frame().await != Frame::text("still here") {}
    assert!(socket.app.pending().await.is_empty());
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_dropped() {
    let server = TestServer::configured(|builder| {
        builder.ping_interval(Some(SHORT / 5)).ping_timeout(SHORT)
    })
    .await;
    let mut socket = Socket::open(&server).await;
    assert_eq!(socket.client.frame().await.opcode(), PING);
    socket.client.rest().await;
    assert_eq!(socket.disconnect().await.int("code").unwrap(), 1006);
}

#[tokio::test]
async fn without_a_ping_interval_there_are_no_pings() {
    let server = TestServer::configured(|builder| builder.ping_interval(None)).await;
    let mut socket = Socket::open(&server).await;
    tokio::time::sleep(2 * SHORT).await;
    socket.expect_silence_then_alive().await;
}

#[tokio::test]
async fn timeouts_of_some_do_not_stop_those_of_others() {
    let server = TestServer::configured(|builder| {
        builder
            .http_timeout(SHORT)
            .websocket_timeout(Some(SHORT))
            .websocket_connect_timeout(Some(SHORT))
    })
    .await;
    let app = server.app();
    for _ in 0..3 {
        let mut connecting = server.connect().await;
        connecting.send(handshake("/connecting", &[])).await;
        app.next("websocket.connect").await;
        let mut open = Socket::open(&server).await;
        assert_eq!(connecting.response().await.head.status, 403);
        assert_eq!(open.client.frame().await, Frame::close(1000));
    }
    tokio::time::timeout(Duration::from_secs(10), server.expect_serving())
        .await
        .unwrap();
}
