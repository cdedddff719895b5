//! How WebSockets end, and that the application always hears of it.

use std::sync::Arc;

use asgiref::protocol::websocket::Disconnect;
use asgiref::{LayerConfig, message};

use crate::support::frames::{CLOSE, Frame};
use crate::support::layer::{Fault, FaultyLayer};
use crate::support::server::{SHORT, TestServer};
use crate::support::websocket::Socket;

#[tokio::test]
async fn codes_of_the_client_reach_the_application() {
    let server = TestServer::start().await;
    for code in [1000, 1001, 1003, 1007, 1011, 3000, 4000, 4999] {
        let mut socket = Socket::open(&server).await;
        socket.client.send(Frame::close(code).masked()).await;
        let answer = socket.client.frame().await;
        assert_eq!(answer.opcode(), CLOSE, "the close is answered");
        socket.client.expect_end().await;
        let message = socket.disconnect().await;
        let gone = Disconnect::try_from(&message).expect("a valid message");
        assert_eq!(gone.code, code);
        assert_eq!(gone.order, 1);
        assert_eq!(gone.path, "/chat/");
        assert_eq!(message.len(), 4, "unknown keys: {message}");
    }
}

#[tokio::test]
async fn a_close_with_a_reason_is_understood() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    let payload = [&4321_u16.to_be_bytes()[..], "au revoir \u{e9}".as_bytes()].concat();
    socket
        .client
        .send(Frame::new(CLOSE, payload).masked())
        .await;
    assert_eq!(socket.client.frame().await.opcode(), CLOSE);
    assert_eq!(socket.disconnect().await.int("code").unwrap(), 4321);
}

#[tokio::test]
async fn a_close_without_a_code_is_1005() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    socket.client.send(Frame::new(CLOSE, []).masked()).await;
    assert_eq!(socket.client.frame().await.opcode(), CLOSE);
    socket.client.expect_end().await;
    assert_eq!(socket.disconnect().await.int("code").unwrap(), 1005);
}

#[tokio::test]
async fn codes_of_the_application_reach_the_client() {
    let server = TestServer::start().await;
    for (reply, code) in [
        (message! { "close" => true }, 1000),
        (message! { "close" => 1000 }, 1000),
        (message! { "close" => 1001 }, 1001),
        (message! { "close" => 1013 }, 1013),
        (message! { "close" => 3000 }, 3000),
        (message! { "close" => 4000 }, 4000),
        (message! { "close" => 4999 }, 4999),
    ] {
        let mut socket = Socket::open(&server).await;
        socket.reply(reply).await;
        assert_eq!(socket.client.frame().await.close_code(), code);
        socket.client.send(Frame::close(code).masked()).await;
        socket.client.expect_end().await;
        assert_eq!(
            socket.disconnect().await.int("code").unwrap(),
            i64::from(code)
        );
    }
}

#[tokio::test]
async fn data_is_sent_before_the_close_that_comes_with_it() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    socket.reply(message! { "text" => "one" }).await;
    socket
        .reply(message! { "text" => "last words", "close" => 4002 })
        .await;
    socket.reply(message! { "text" => "too late" }).await;
    assert_eq!(socket.client.frame().await, Frame::text("one"));
    assert_eq!(socket.client.frame().await, Frame::text("last words"));
    assert_eq!(socket.client.frame().await, Frame::close(4002));
    socket.client.send(Frame::close(4002).masked()).await;
    socket.client.expect_end().await;
}

#[tokio::test]
async fn a_client_that_vanishes_is_reported_as_1006() {
    let server = TestServer::start().await;
    for abort in [false, true] {
        let mut socket = Socket::open(&server).await;
        socket.client.send(Frame::text("hi").masked()).await;
        socket.received().await;
        let Socket {
            client,
            app,
            connect,
            ..
        } = socket;
        if abort {
            client.abort();
        } else {
            drop(client);
        }
        let gone = app.next("websocket.disconnect").await;
        assert_eq!(gone.int("code").unwrap(), 1006);
        assert_eq!(gone.int("order").unwrap(), 2);
        assert_eq!(
            gone.text("reply_channel").unwrap(),
            connect.text("reply_channel").unwrap()
        );
        app.reply(&connect, message! { "text" => "to nobody" })
            .await;
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_the_close_is_not_waited_for_for_ever() {
    let server = TestServer::configured(|builder| builder.websocket_close_timeout(SHORT)).await;
    let mut socket = Socket::open(&server).await;
    socket.reply(message! { "close" => 4003 }).await;
    assert_eq!(socket.client.frame().await, Frame::close(4003));
    socket.client.expect_end().await;
    assert_eq!(socket.disconnect().await.int("code").unwrap(), 1006);
}

#[tokio::test]
async fn a_disconnect_arrives_once_and_is_the_last_message() {
    let server = TestServer::start().await;
    for close_from_server in [false, true] {
        let mut socket = Socket::open(&server).await;
        if close_from_server {
            socket.reply(message! { "close" => true }).await;
            socket.client.frame().await;
        }
        socket.client.send(Frame::close(1000).masked()).await;
        let _ = socket
            .client
            .try_send(Frame::text("after the close").masked())
            .await;
        socket.client.rest().await;
        socket.disconnect().await;
        server.expect_serving().await;
        assert!(socket.app.pending().await.is_empty());
    }
}

#[tokio::test]
async fn a_full_receive_channel_closes_with_1013_and_the_disconnect_still_comes() {
    let layer = Arc::new(FaultyLayer::new(LayerConfig::new()));
    let server = TestServer::on(Arc::clone(&layer) as _, |builder| {
        builder.websocket_retry_timeout(SHORT)
    })
    .await;
    let mut socket = Socket::open(&server).await;
    socket.client.send(Frame::text("one").masked()).await;
    socket.received().await;
    layer.set(Fault::Full);
    socket.client.send(Frame::text("two").masked()).await;
    assert_eq!(socket.client.frame().await.close_code(), 1013);
    layer.set(Fault::None);
    socket.client.send(Frame::close(1013).masked()).await;
    socket.client.expect_end().await;
    let gone = socket.disconnect().await;
    assert_eq!(gone.int("code").unwrap(), 1013);
    // The frame that was lost leaves no gap.
    assert_eq!(gone.int("order").unwrap(), 2);
}

#[tokio::test]
async fn a_receive_channel_full_for_a_moment_loses_nothing() {
    let config = LayerConfig::new()
        .channel_capacity("websocket.receive", 2)
        .unwrap();
    let server = TestServer::with_config(config, |builder| builder).await;
    let mut socket = Socket::open(&server).await;
    let frames: Vec<u8> = (0..50)
        .flat_map(|number| Frame::text(&format!("{number}")).masked())
        .collect();
    socket.client.send(frames).await;
    for number in 0..50 {
        let message = socket.received().await;
        assert_eq!(message.text("text").unwrap(), &format!("{number}"));
        assert_eq!(message.int("order").unwrap(), number + 1);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_frame_waits_for_room_leaves_no_gap() {
    let layer = Arc::new(FaultyLayer::new(LayerConfig::new()));
    let server = TestServer::on(Arc::clone(&layer) as _, |builder| builder).await;
    for abort in [false, true] {
        let Socket {
            mut client, app, ..
        } = Socket::open(&server).await;
        layer.set(Fault::Full);
        client.send(Frame::text("waits").masked()).await;
        tokio::time::sleep(SHORT / 2).await;
        if abort {
            client.abort();
        } else {
            drop(client);
        }
        tokio::time::sleep(SHORT / 2).await;
        layer.set(Fault::None);
        let gone = app.next("websocket.disconnect").await;
        let frames = app.pending().await.len() as i64;
        assert_eq!(gone.int("order").unwrap(), frames + 1);
    }
    server.expect_idle().await;
}

#[tokio::test]
async fn a_disconnect_that_finds_its_channel_full_comes_later() {
    let layer = Arc::new(FaultyLayer::new(LayerConfig::new()));
    let server = TestServer::on(Arc::clone(&layer) as _, |builder| builder).await;
    let mut socket = Socket::open(&server).await;
    layer.set(Fault::Full);
    socket.client.send(Frame::close(1000).masked()).await;
    socket.client.frame().await;
    socket.client.expect_end().await;
    tokio::time::sleep(SHORT).await;
    layer.set(Fault::None);
    assert_eq!(socket.disconnect().await.int("code").unwrap(), 1000);
}

#[tokio::test]
async fn a_failing_layer_closes_the_socket_and_not_the_server() {
    let layer = Arc::new(FaultyLayer::new(LayerConfig::new()));
    let server = TestServer::on(Arc::clone(&layer) as _, |builder| {
        builder.websocket_retry_timeout(SHORT)
    })
    .await;
    let mut socket = Socket::open(&server).await;
    layer.set(Fault::Broken);
    socket.client.send(Frame::text("lost").masked()).await;
    let close = socket.client.frame().await;
    assert!(matches!(close.close_code(), 1011 | 1013), "{close:?}");
    layer.set(Fault::None);
    drop(socket);
    server.expect_serving().await;
}
