//! A program that ends after its receives were dropped takes no messages with it.

mod support;

use std::collections::BTreeSet;

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, ChannelName, Message, message};
use tokio::runtime;
use tokio::task::JoinSet;

use support::pair::{Settings, channel};
use support::within;

const MESSAGES: i64 = 300;

/// How many messages a program wants at once.
const AT_ONCE: usize = 20;

fn number((_, message): &(ChannelName, Message)) -> i64 {
    message.int("number").expect("a number")
}

/// A program with a runtime of its own, which stops in the middle of its work.
fn take_some_and_end(layer: &RedisChannelLayer, name: &str) -> BTreeSet<i64> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut receivers = JoinSet::new();
        let mut taken = BTreeSet::new();
        let channels = [channel(name)];
        let receive = |layer: RedisChannelLayer| {
            let channels = channels.clone();
            async move { number(&layer.receive(&channels).await.expect("the layer works")) }
        };
        for _ in 0..AT_ONCE {
            receivers.spawn(receive(layer.clone()));
        }
        for _ in 0..2 * AT_ONCE {
            let ended = within("a message", receivers.join_next()).await;
            taken.insert(ended.expect("some wait").expect("no panic"));
            receivers.spawn(receive(layer.clone()));
        }
        receivers.abort_all();
        // Those that ended before they were told to.
        while let Some(ended) = receivers.join_next().await {
            taken.extend(ended);
        }
        within("the layer to settle", layer.settle()).await;
        taken
    })
}

/// Programs take turns until nothing is left; every message must come to one of them.
async fn expect_all_to_arrive(settings: &Settings, name: &'static str) {
    let sender = settings.ours();
    for number in 0..MESSAGES {
        let message = message! { "number" => number };
        let sent = sender.send(&channel(name), message).await;
        sent.expect("there is room");
    }
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let layer = settings.ours();
        let taken = tokio::task::spawn_blocking(move || take_some_and_end(&layer, name));
        for number in taken.await.expect("no panic") {
            assert!(seen.insert(number), "{number} was delivered twice");
        }
    }
    let last = settings.ours();
    while seen.len() < MESSAGES as usize {
        let channels = [channel(name)];
        let received = within("the rest", last.receive(&channels)).await;
        let number = number(&received.expect("the layer works"));
        assert!(seen.insert(number), "{number} was delivered twice");
    }
}

#[tokio::test]
async fn what_was_taken_for_dropped_receives_is_for_others() {
    let settings = Settings::shared().capacity(1_000);
    expect_all_to_arrive(&settings, "numbers").await;
}

#[tokio::test]
async fn the_same_on_several_servers() {
    let servers = support::server::RedisServer::several(3);
    let settings = Settings::on(&servers).capacity(1_000);
    expect_all_to_arrive(&settings, "numbers").await;
}

/// Others in the process may go on receiving.
#[tokio::test]
async fn settling_waits_for_nobody_who_still_receives() {
    let settings = Settings::shared();
    let layer = settings.ours();
    let name = channel("quiet");
    let other = layer.clone();
    let waiting = tokio::spawn(async move { other.receive(&[channel("quiet")]).await });
    within("to settle", layer.settle()).await;
    let sent = layer.send(&name, message! { "number" => 1 }).await;
    sent.expect("there is room");
    let received = within("the message", waiting).await.expect("no panic");
    assert_eq!(number(&received.expect("the layer works")), 1);
}
