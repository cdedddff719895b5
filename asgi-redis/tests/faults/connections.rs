//! Connections that end, stall or cannot be made, while the servers are well.

use std::collections::BTreeSet;
use std::time::Duration;

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, ChannelLayerExt as _, Error, message};

use crate::support::pair::{Settings, channel, group, look, take};
use crate::support::proxy::FaultProxy;
use crate::support::resp::Reply;
use crate::support::server::{RedisOptions, RedisServer};
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

/// Members that got it would get it twice.
#[tokio::test]
async fn a_group_send_whose_reply_is_lost_is_not_repeated() {
    let stage = Stage::set();
    let sender = stage.sender();
    let groups = sender.require_groups().expect("the layer has groups");
    for member in ["one", "two", "process!three"] {
        groups
            .group_add(&group("chat"), &channel(member))
            .await
            .expect("added");
    }
    groups
        .send_group(&group("empty"), message! {})
        .await
        .expect("sent");
    // The members are asked for first, so that is the reply that must arrive.
    stage.to_sender.delay(Duration::from_millis(100));
    let chat = group("chat");
    let send = groups.send_group(&chat, message! { "number" => 1 });
    let (sent, ()) = within("send", async {
        tokio::join!(send, async {
            until("the messages to be there", || stage.waiting("one") == 1).await;
            stage.to_sender.cut();
            stage.to_sender.pass();
        })
    })
    .await;
    let error = sent.expect_err("nobody knows whether it was sent");
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
    let again = within("send", groups.send_group(&chat, message! { "number" => 2 })).await;
    again.expect("the layer works again");
    for member in ["one", "two", "process!"] {
        assert_eq!(stage.waiting(member), 2, "{member}");
    }
}

/// Their replies come nevertheless, and are nobody else's.
#[tokio::test]
async fn operations_that_are_given_up_do_not_disturb_others() {
    const ROUNDS: i64 = 300;
    let stage = Stage::set();
    let sender = stage.sender();
    let settings = stage.settings.clone();
    let groups = sender.require_groups().expect("the layer has groups");
    for number in 0..20 {
        let name = group(&format!("group-{number}"));
        let member = channel(&format!("member-{number}"));
        groups.group_add(&name, &member).await.expect("added");
    }
    stage.to_sender.delay(Duration::from_millis(2));
    let name = channel("given.up");
    let given_up = async {
        let mut accepted = 0;
        for number in 0..ROUNDS {
            let send = sender.send(&name, message! { "number" => number });
            let patience = Duration::from_micros(rand::random_range(0..8_000));
            if let Ok(sent) = tokio::time::timeout(patience, send).await {
                match sent {
                    Ok(()) => accepted += 1,
                    Err(Error::ChannelFull { .. }) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        accepted
    };
    let undisturbed = async {
        for round in 0..200 {
            let number = round % 20;
            let name = group(&format!("group-{number}"));
            let members = groups.group_channels(&name).await.expect("members");
            let member = channel(&format!("member-{number}"));
            assert!(members.iter().eq([&member]), "{members:?} of {name}");
        }
    };
    let (accepted, ()) = within("both", async { tokio::join!(given_up, undisturbed) }).await;
    stage.to_sender.pass();
    sender
        .send(&channel("end"), message! {})
        .await
        .expect("there is room");
    let receiver = settings.ours();
    let mut received = Vec::new();
    while let Some((_, message)) = look(&receiver, "given.up").await {
        received.push(message.int("number").expect("a number"));
    }
    assert!(
        received.is_sorted_by(|one, next| one < next),
        "{received:?}"
    );
    assert!(
        received.len() >= accepted,
        "{} of {accepted}",
        received.len()
    );
}

/// As long as something arrives the connection is alive, however long the whole takes.
#[tokio::test]
async fn a_narrow_network_is_no_fault() {
    const MESSAGES: usize = 10;
    let stage = Stage::set();
    let (sender, receiver) = (stage.sender(), stage.receiver());
    sender
        .send(&channel("warm.up"), message! {})
        .await
        .expect("there is room");
    assert_eq!(look(&receiver, "large").await, None);
    stage.to_sender.throttle(2_000_000);
    stage.to_receiver.throttle(2_000_000);
    let name = channel("large");
    let content = vec![b'x'; 1_000_000];
    let sends = (0..MESSAGES).map(|number| {
        let content = content.clone();
        let number = i64::try_from(number).expect("small");
        sender.send(&name, message! { "number" => number, "content" => content })
    });
    let sends = within("all sends", futures_util::future::join_all(sends));
    let mut seen = BTreeSet::new();
    let receive = async {
        while seen.len() < MESSAGES {
            let (_, message) = take(&receiver, "large").await;
            assert!(seen.insert(message.int("number").expect("a number")));
        }
    };
    let (sent, ()) = tokio::join!(sends, receive);
    for sent in sent {
        sent.expect("there is room");
    }
    assert_eq!(receiver.figures().interrupted_receives, 0);
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
