//! Slow readers and slow applications.

use asgiref::{LayerConfig, message};

use crate::support::frames::Frame;
use crate::support::server::{SHORT, TestServer};
use crate::support::websocket::Socket;

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up_and_the_others_are_served() {
    let server = TestServer::configured(|builder| builder.send_timeout(2 * SHORT)).await;
    let slow = Socket::open(&server).await;
    slow.client.limit_receive_buffer(4_096);
    let app = slow.app.clone();
    let connect = slow.connect.clone();
    let flooding = tokio::spawn(async move {
        // 40 MB, more than every buffer on the way holds.
        for _ in 0..80 {
            app.reply(&connect, message! { "bytes" => vec![0; 512 * 1024] })
                .await;
        }
    });
    let mut other = Socket::open(&server).await;
    other.expect_silence_then_alive().await;
    let gone = slow.disconnect().await;
    assert!(
        matches!(gone.int("code").unwrap(), 1006 | 1008 | 1011 | 1013),
        "{gone}"
    );
    flooding.await.unwrap();
    other.expect_silence_then_alive().await;
    server.expect_serving().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    socket.client.limit_receive_buffer(32_768);
    let app = socket.app.clone();
    let connect = socket.connect.clone();
    let sending = tokio::spawn(async move {
        for number in 0..20_u8 {
            app.reply(&connect, message! { "bytes" => vec![number; 10_000] })
                .await;
        }
    });
    for number in 0..20_u8 {
        assert_eq!(
            socket.client.frame().await,
            Frame::binary(vec![number; 10_000])
        );
        tokio::time::sleep(SHORT / 50).await;
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn a_slow_application_slows_the_client_down() {
    let config = LayerConfig::new()
        .channel_capacity("websocket.receive", 2)
        .unwrap();
    let server = TestServer::with_config(config, |builder| {
        builder.websocket_retry_timeout(20 * SHORT)
    })
    .await;
    let mut socket = Socket::open(&server).await;
    let frame = Frame::binary(vec![0; 500_000]).masked();
    let mut sent = 0;
    while sent < 100 {
        match tokio::time::timeout(SHORT, socket.client.try_send(&frame)).await {
            Ok(result) => result.unwrap(),
            Err(_) => break,
        }
        sent += 1;
    }
    assert!(sent < 100, "nothing slowed the client down");
    for order in 1..=sent {
        assert_eq!(socket.received().await.int("order").unwrap(), order);
    }
}
