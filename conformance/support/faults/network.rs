//! A network that fails, while the servers are well. Each crate whose layer has connections
//! includes this file in its `tests/faults`, beside its `stage`.

use std::collections::BTreeSet;
use std::time::Duration;

use asgiref::{ChannelLayer as _, message};

use crate::stage::Stage;
use crate::support::pair::{channel, look, take};
use crate::support::{until, within};
use crate::traffic::{DETECTION, IN_FLIGHT, Traffic};

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
async fn a_frozen_connection_of_the_receiver_is_noticed() {
    let stage = Stage::set();
    let traffic = Traffic::start(stage.sender(), stage.alert_receiver());
    traffic.expect_flowing().await;
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
    let receiver = stage.alert_receiver();
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
