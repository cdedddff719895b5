//! Messages that are taken off a busy channel before they are asked for.

mod support;

use std::collections::BTreeSet;

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, Message, message};
use support::names::{channel, look, take};
use support::pair::Settings;
use support::server::RedisServer;
use support::until;

const MESSAGES: i64 = 200;

/// Channels that other processes read, too: what is not asked for goes back to them.
#[tokio::test]
async fn what_a_reader_took_and_does_not_ask_for_goes_to_others() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]).capacity(1_000);
    let (sender, busy, other) = (settings.ours(), settings.ours(), settings.ours());
    for number in 0..MESSAGES {
        let message = message! { "number" => number };
        let sent = sender.send(&channel("work"), message).await;
        sent.expect("sent");
    }
    let mut received = BTreeSet::new();
    let note = |received: &mut BTreeSet<i64>, message: Message| {
        let number = message.int("number").expect("a number");
        assert!(received.insert(number), "{number} came twice");
    };
    let list = settings.key("work");
    // Until it has taken more than it asked for.
    for asked in 1.. {
        note(&mut received, take(&busy, "work").await.1);
        if server.command(&["LLEN", &list]).int() < MESSAGES - asked {
            break;
        }
    }
    until("what it took to go back", || {
        server.command(&["LLEN", &list]).int() == MESSAGES - received.len() as i64
    })
    .await;
    while received.len() < MESSAGES as usize {
        note(&mut received, take(&other, "work").await.1);
    }
    assert_eq!(look(&busy, "work").await, None);
}

/// Two busy readers of a long queue share it; neither takes the other's half.
#[tokio::test]
async fn a_long_queue_is_shared_by_busy_readers() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]).capacity(1_000);
    let sender = settings.ours();
    for number in 0..MESSAGES {
        let message = message! { "number" => number };
        let sent = sender.send(&channel("work"), message).await;
        sent.expect("sent");
    }
    let read = async |layer: RedisChannelLayer| {
        let mut received = Vec::new();
        for _ in 0..MESSAGES / 2 {
            let (_, message) = take(&layer, "work").await;
            received.push(message.int("number").expect("a number"));
        }
        received
    };
    let (mut one, other) = tokio::join!(read(settings.ours()), read(settings.ours()));
    one.extend(other);
    let all: BTreeSet<_> = one.into_iter().collect();
    assert_eq!(all, (0..MESSAGES).collect());
}
