//! Connections that end, stall or cannot be made, while the servers are well.

use std::time::Duration;

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, Error, message};

use crate::support::pair::{Settings, channel, look, take};
use crate::support::proxy::FaultProxy;
use crate::support::resp::Reply;
use crate::support::server::RedisServer;
use crate::support::{until, within};
use crate::traffic::{DETECTION, IN_FLIGHT, Traffic};

/// A server, and a layer on either side of a proxy of its own.
struct Stage {
    server: RedisServer,
    settings: Settings,
    to_sender: FaultProxy,
    to_receiver: FaultProxy,
}

impl Stage {
    fn set() -> Self {
        let server = RedisServer::start();
        let settings = Settings::on([&server]);
        let to_sender = FaultProxy::start(server.port());
        let to_receiver = FaultProxy::start(server.port());
        Self {
            server,
            settings,
            to_sender,
            to_receiver,
        }
    }

    fn through(&self, proxy: &FaultProxy) -> RedisChannelLayer {
        let url = self.server.url_at(proxy.port());
        self.settings.clone().reached_at([url]).ours()
    }

    fn sender(&self) -> RedisChannelLayer {
        self.through(&self.to_sender)
    }

    fn receiver(&self) -> RedisChannelLayer {
        self.through(&self.to_receiver)
    }

    async fn traffic(&self) -> Traffic {
        let traffic = Traffic::start(self.sender(), self.receiver());
        traffic.expect_flowing().await;
        traffic
    }

    /// How many messages wait on `name`.
    fn waiting(&self, name: &str) -> i64 {
        self.server
            .command(&["LLEN", &self.settings.key(name)])
            .int()
    }
}

#[tokio::test]
async fn connections_that_are_cut_are_made_again() {
    const ROUNDS: usize = 5;
    let stage = Stage::set();
    let receiver = stage.receiver();
    let traffic = Traffic::start(stage.sender(), receiver.clone());
    traffic.expect_flowing().await;
    for _ in 0..ROUNDS {
        stage.to_sender.cut();
        traffic.expect_flowing().await;
        stage.to_receiver.cut();
        traffic.expect_flowing().await;
    }
    let record = traffic.finish().await;
    let interrupted = receiver.figures().interrupted_receives;
    assert!(interrupted <= ROUNDS as u64, "{interrupted}");
    // Whatever is lost was lost with a connection of which the receiver knows.
    record.expect_lost_at_most(interrupted as usize * IN_FLIGHT);
}

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
async fn a_frozen_connection_of_the_receiver_is_noticed() {
    let stage = Stage::set();
    let traffic = stage.traffic().await;
    stage.to_receiver.freeze();
    traffic.expect_flowing_within(DETECTION).await;
    traffic.finish().await.expect_lost_at_most(IN_FLIGHT);
}

#[tokio::test]
async fn a_frozen_connection_of_the_sender_is_noticed() {
    let stage = Stage::set();
    let traffic = stage.traffic().await;
    stage.to_sender.freeze();
    traffic.expect_flowing_within(DETECTION).await;
    traffic.finish().await.expect_lost_at_most(0);
}

/// Nothing is sent meanwhile, so only the receiver itself can find out.
#[tokio::test]
async fn a_frozen_connection_is_noticed_by_a_receiver_that_waits() {
    let stage = Stage::set();
    let receiver = stage.receiver();
    assert_eq!(look(&receiver, "quiet").await, None);
    let names = [channel("quiet")];
    let receive = receiver.receive(&names);
    tokio::pin!(receive);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut receive).await;
    assert!(early.is_err());
    let before = stage.to_receiver.connections();
    stage.to_receiver.freeze();
    let sender = stage.sender();
    let noticed = async {
        // Frozen connections end only by the layer's own doing.
        until("new connections", || {
            stage.to_receiver.connections() != before
        })
        .await;
        sender
            .send(&channel("quiet"), message! { "value" => 1 })
            .await
            .expect("there is room");
    };
    tokio::select! {
        () = async { noticed.await; std::future::pending().await } => {}
        received = within("the message", &mut receive) => {
            assert_eq!(received.expect("the layer works").1, message! { "value" => 1 });
        }
    }
}

#[tokio::test]
async fn a_blackhole_gives_errors_and_then_traffic_again() {
    let stage = Stage::set();
    let traffic = stage.traffic().await;
    stage.to_sender.blackhole();
    stage.to_receiver.blackhole();
    traffic.expect_failing().await;
    traffic.expect_failing().await;
    stage.to_sender.pass();
    stage.to_receiver.pass();
    traffic.expect_flowing_within(DETECTION).await;
    traffic.finish().await.expect_lost_at_most(IN_FLIGHT);
}

#[tokio::test]
async fn refused_connections_give_errors_and_then_traffic_again() {
    let stage = Stage::set();
    let traffic = stage.traffic().await;
    stage.to_sender.refuse();
    stage.to_receiver.refuse();
    for _ in 0..3 {
        traffic.expect_failing().await;
    }
    stage.to_sender.pass();
    stage.to_receiver.pass();
    traffic.expect_flowing().await;
    traffic.finish().await.expect_lost_at_most(IN_FLIGHT);
}

#[tokio::test]
async fn a_slow_network_is_no_fault() {
    let stage = Stage::set();
    let traffic = stage.traffic().await;
    stage.to_sender.delay(Duration::from_millis(100));
    stage.to_receiver.delay(Duration::from_millis(100));
    traffic.expect_flowing_within(DETECTION).await;
    let record = traffic.finish().await;
    record.expect_no_errors();
    record.expect_lost_at_most(0);
}

/// The server has done what it was asked, and only the answer is missing. A second send would be
/// a second message.
#[tokio::test]
async fn a_send_whose_reply_is_lost_is_not_repeated() {
    let stage = Stage::set();
    let sender = stage.sender();
    let name = channel("once");
    sender
        .send(&channel("warm.up"), message! {})
        .await
        .expect("there is room");
    for (number, name) in [(1, &name), (2, &channel("once?more"))] {
        stage.to_sender.hold_replies();
        let send = sender.send(name, message! { "number" => number });
        let (sent, ()) = within("send", async {
            tokio::join!(send, async {
                until("the message to be there", || {
                    stage.waiting(name.as_str()) == 1
                })
                .await;
                stage.to_sender.cut();
                stage.to_sender.pass();
            })
        })
        .await;
        let error = sent.expect_err("nobody knows whether it was sent");
        assert!(matches!(error, Error::Backend { .. }), "{error:?}");
        // The layer works again, and whatever it repeated would come first.
        let again = message! { "number" => 0 };
        within("send", sender.send(name, again))
            .await
            .expect("there is room");
        assert_eq!(stage.waiting(name.as_str()), 2);
    }
}

#[tokio::test]
async fn a_receive_whose_reply_is_lost_delivers_nothing_twice() {
    let stage = Stage::set();
    let (sender, receiver) = (stage.sender(), stage.receiver());
    let name = channel("once");
    sender
        .send(&name, message! { "number" => 0 })
        .await
        .expect("there is room");
    take(&receiver, "once").await;

    let mut received = Vec::new();
    stage.to_receiver.hold_replies();
    for number in 1..=5 {
        sender
            .send(&name, message! { "number" => number })
            .await
            .expect("there is room");
    }
    {
        let names = [name.clone()];
        let receive = receiver.receive(&names);
        tokio::pin!(receive);
        let taken = until("messages to be taken", || stage.waiting("once") < 5);
        tokio::select! {
            () = taken => {}
            early = &mut receive => panic!("without a reply of the server: {early:?}"),
        }
        stage.to_receiver.cut();
        stage.to_receiver.pass();
        sender
            .send(&name, message! { "number" => 6 })
            .await
            .expect("there is room");
        let (_, message) = within("a message", receive).await.expect("the layer works");
        received.push(message.int("number").expect("a number"));
    }
    while received.last() != Some(&6) {
        let (_, message) = take(&receiver, "once").await;
        received.push(message.int("number").expect("a number"));
    }
    assert!(
        received.is_sorted_by(|one, next| one < next),
        "{received:?}"
    );
    assert_eq!(look(&receiver, "once").await, None);
}

/// Replies that come after all, on a connection the layer has not yet given up.
#[tokio::test]
async fn a_late_reply_is_as_good_as_any() {
    let stage = Stage::set();
    let (sender, receiver) = (stage.sender(), stage.receiver());
    let name = channel("late");
    assert_eq!(look(&receiver, "late").await, None);
    stage.to_receiver.hold_replies();
    let names = [name.clone()];
    let receive = receiver.receive(&names);
    tokio::pin!(receive);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut receive)
            .await
            .is_err()
    );
    sender
        .send(&name, message! { "number" => 1 })
        .await
        .expect("there is room");
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut receive)
            .await
            .is_err()
    );
    stage.to_receiver.pass();
    let (_, message) = within("the message", receive)
        .await
        .expect("the layer works");
    assert_eq!(message, message! { "number" => 1 });
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
