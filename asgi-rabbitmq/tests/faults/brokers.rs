//! Brokers that are restarted, stand still or take no messages.

use asgiref::{ChannelLayer as _, ChannelLayerExt as _, Error, message};

use crate::support::broker::Broker;
use crate::support::pair::{Settings, channel, group, look, take};
use crate::support::{until, within};
use crate::traffic::{DETECTION, IN_FLIGHT, Traffic};

#[tokio::test]
async fn a_broker_may_be_restarted() {
    const ROUNDS: usize = 2;
    let mut broker = Broker::start();
    let settings = Settings::on(&broker);
    let receiver = settings.ours();
    let traffic = Traffic::start(settings.ours(), receiver.clone());
    for _ in 0..ROUNDS {
        traffic.expect_flowing().await;
        broker.kill();
        traffic.expect_failing().await;
        broker.start_again();
        traffic.expect_flowing().await;
    }
    traffic
        .finish()
        .await
        .expect_lost_at_most(ROUNDS * IN_FLIGHT);
    until("all losses to be noticed", || {
        receiver.figures().data_lost >= ROUNDS as u64
    })
    .await;
    assert_eq!(receiver.figures().data_lost, ROUNDS as u64);
}

/// Members join again when they are told that the broker has forgotten them.
#[tokio::test]
async fn groups_work_again_after_a_restart() {
    let mut broker = Broker::start();
    let settings = Settings::on(&broker);
    let (sender, receiver) = (settings.ours(), settings.ours());
    let groups = receiver.require_groups().expect("the layer has groups");
    let (chat, member) = (group("chat"), channel("member!one"));
    assert_eq!(look(&receiver, "member!").await, None);
    groups.group_add(&chat, &member).await.expect("added");
    let lost = tokio::spawn({
        let receiver = receiver.clone();
        async move { receiver.data_lost().await }
    });
    broker.kill();
    broker.start_again();
    within("the loss to be noticed", async {
        // Whoever has nothing to do need not notice at once.
        while !lost.is_finished() {
            let _ = receiver.try_receive(&[channel("member!")]).await;
        }
    })
    .await;
    groups.group_add(&chat, &member).await.expect("added again");
    let message = message! { "text" => "back" };
    let sending = sender.require_groups().expect("the layer has groups");
    within("send_group", async {
        while sending.send_group(&chat, message.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let received = take(&receiver, "member!").await;
    assert_eq!(received, ("member!one".to_owned(), message));
}

#[tokio::test]
async fn a_broker_that_stands_still_gives_errors_and_then_traffic_again() {
    let broker = Broker::start();
    let settings = Settings::on(&broker);
    let traffic = Traffic::start(settings.ours(), settings.ours());
    traffic.expect_flowing().await;
    broker.pause();
    traffic.expect_failing().await;
    broker.resume();
    traffic.expect_flowing_within(DETECTION).await;
    traffic.finish().await.expect_lost_at_most(IN_FLIGHT);
}

/// Publishers are blocked, and are told so; whoever receives is not.
#[tokio::test]
async fn a_broker_short_of_memory_refuses_messages_and_still_hands_them_out() {
    let broker = Broker::start();
    let settings = Settings::on(&broker);
    let (sender, receiver) = (settings.ours(), settings.ours());
    for number in 0..10 {
        let message = message! { "number" => number };
        sender
            .send(&channel("stored"), message)
            .await
            .expect("there is room");
    }
    broker.raise_memory_alarm(true);
    within("a refusal", async {
        loop {
            let sent = sender.send(&channel("elsewhere"), message! {}).await;
            if let Err(Error::Backend { .. }) = sent {
                break;
            }
        }
    })
    .await;
    for number in 0..10 {
        let (_, message) = take(&receiver, "stored").await;
        assert_eq!(message, message! { "number" => number });
    }
    // One of those who receive is waiting already.
    let waiting = receiver.clone();
    let waits = tokio::spawn(async move { take(&waiting, "later").await });
    broker.raise_memory_alarm(false);
    let message = message! { "number" => 10 };
    within("a send", async {
        let later = channel("later");
        while sender.send(&later, message.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (_, received) = within("the one who waits", waits).await.expect("no panic");
    assert_eq!(received, message);
}

#[tokio::test]
async fn a_memory_alarm_gives_errors_and_then_traffic_again() {
    const ROUNDS: usize = 2;
    let broker = Broker::start();
    let settings = Settings::on(&broker);
    let traffic = Traffic::start(settings.ours(), settings.ours());
    traffic.expect_flowing().await;
    for _ in 0..ROUNDS {
        broker.raise_memory_alarm(true);
        traffic.expect_failing().await;
        broker.raise_memory_alarm(false);
        traffic.expect_flowing().await;
    }
    traffic.finish().await.expect_lost_at_most(0);
}

#[tokio::test]
async fn a_virtual_host_that_is_not_there_yet_is_waited_for() {
    let broker = Broker::shared();
    let name = format!("{}-later", broker.virtual_host());
    let settings = Settings::at([broker.url(&name)], &name);
    let (sender, receiver) = (settings.ours(), settings.ours());
    let refused = within("send", sender.send(&channel("early"), message! {})).await;
    assert!(matches!(refused, Err(Error::Backend { .. })), "{refused:?}");
    broker.add_virtual_host(&name);
    let traffic = Traffic::start(sender, receiver);
    traffic.expect_flowing().await;
    traffic.finish().await.expect_lost_at_most(0);
}
