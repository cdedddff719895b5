//! Connections that end, stall or cannot be made, while the servers are well.

use std::time::Duration;

use asgiref::{ChannelLayer as _, Error, message};

use crate::stage::Stage;
use crate::support::pair::{Settings, channel, take};
use crate::support::resp::Reply;
use crate::support::server::{RedisOptions, RedisServer};
use crate::support::within;
use crate::traffic::{IN_FLIGHT, Traffic};

#[tokio::test]
async fn connections_that_the_server_ends_are_made_again() {
    const ROUNDS: usize = 5;
    let stage = Stage::set();
    let traffic = stage.traffic().await;
    for _ in 0..ROUNDS {
        stage.server.kill_clients();
        traffic.expect_flowing().await;
    }
    traffic
        .finish()
        .await
        .expect_lost_at_most(ROUNDS * IN_FLIGHT);
}

#[tokio::test]
async fn a_layer_may_be_there_before_its_server() {
    let mut server = RedisServer::start();
    server.kill();
    let settings = Settings::on([&server]);
    let (sender, receiver) = (settings.ours(), settings.ours());
    let error = within("send", sender.send(&channel("early"), message! {})).await;
    assert!(matches!(error, Err(Error::Backend { .. })), "{error:?}");
    server.start_again();
    let traffic = Traffic::start(sender, receiver);
    traffic.expect_flowing().await;
    traffic.finish().await.expect_lost_at_most(0);
    assert_eq!(server.command(&["PING"]), Reply::Bytes(b"PONG".to_vec()));
}

/// As hosts do that save connections.
#[tokio::test]
async fn a_server_may_close_what_is_idle() {
    let server = RedisOptions::new().set("timeout", "1").start();
    let settings = Settings::on([&server]);
    let (sender, receiver) = (settings.ours(), settings.ours());
    let names = [channel("idle")];
    for number in 0..2 {
        sender
            .send(&names[0], message! { "number" => number })
            .await
            .expect("there is room");
        assert_eq!(
            take(&receiver, "idle").await.1,
            message! { "number" => number }
        );
        let receive = receiver.receive(&names);
        tokio::pin!(receive);
        let early = tokio::time::timeout(Duration::from_millis(2_500), &mut receive).await;
        assert!(early.is_err(), "{early:?}");
        let message = message! { "number" => 10 + number };
        sender
            .send(&names[0], message.clone())
            .await
            .expect("there is room");
        let received = within("the message", receive)
            .await
            .expect("the layer works");
        assert_eq!(received.1, message);
    }
}

#[tokio::test]
async fn a_server_with_too_many_clients_is_waited_for() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let traffic = Traffic::start(settings.ours(), settings.ours());
    traffic.expect_flowing().await;
    let mut control = server.connect();
    let mut tell = |command: &[&str]| control.call(command).expect("the server answers");
    tell(&["CONFIG", "SET", "maxclients", "1"]);
    tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    traffic.expect_failing().await;
    tell(&["CONFIG", "SET", "maxclients", "1000"]);
    traffic.expect_flowing().await;
    traffic.finish().await.expect_lost_at_most(IN_FLIGHT);
}
