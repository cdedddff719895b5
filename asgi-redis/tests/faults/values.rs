//! Keys in the server that hold what nobody expects there.

use std::collections::BTreeSet;

use asgiref::{ChannelLayer as _, ChannelLayerExt as _, message};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::pair::{Settings, channel, group, look, take};
use crate::support::server::RedisServer;
use crate::support::within;

/// Sends a message after the poison in `queue`, and expects it to be all that comes. Returns how
/// many messages the receiver has counted as poisoned.
async fn expect_skipped(settings: &Settings, queue: &str, what: &str) -> u64 {
    let (sender, receiver) = (settings.ours(), settings.ours());
    let next = message! { "after" => what };
    sender
        .send(&channel(queue), next.clone())
        .await
        .expect("there is room");
    assert_eq!(
        take(&receiver, channel(queue).non_local()).await.1,
        next,
        "{what}"
    );
    assert_eq!(
        look(&receiver, channel(queue).non_local()).await,
        None,
        "{what}"
    );
    receiver.figures().poisoned
}

#[tokio::test]
async fn list_items_that_lead_to_no_message_are_skipped() {
    let server = RedisServer::shared();
    for queue in ["normal", "single?abc", "process!local"] {
        let settings = Settings::shared();
        let list = settings.key(channel(queue).non_local());
        let push = |item: &[u8]| {
            server.command(&[b"RPUSH", list.as_bytes(), item]);
        };
        for (what, item) in [
            (
                "nothing there",
                settings
                    .key("00000000000000000000000000000000")
                    .into_bytes(),
            ),
            ("empty", Vec::new()),
            ("no text", vec![0xff, 0x00, 0xfe]),
            ("long", vec![b'x'; 100_000]),
            ("the list itself", list.clone().into_bytes()),
        ] {
            push(&item);
            expect_skipped(&settings, queue, what).await;
        }
        for command in [
            &["HSET", "other", "field", "value"][..],
            &["RPUSH", "other", "item"],
            &["SADD", "other", "member"],
            &["ZADD", "other", "1", "member"],
            &["SET", "other", ""],
            &["SET", "other", "no message"],
        ] {
            let key = settings.key("other");
            let planted: Vec<_> = command
                .iter()
                .map(|word| if *word == "other" { &*key } else { *word })
                .collect();
            server.command(&planted);
            push(key.as_bytes());
            let counted = expect_skipped(&settings, queue, &command.join(" ")).await;
            assert_eq!(counted, 1, "{command:?}");
            server.command(&["DEL", &key]);
        }
    }
}

/// What is taken together with it, for other readers of the process, is not lost.
#[tokio::test]
async fn poison_takes_no_messages_with_it() {
    const MESSAGES: i64 = 200;
    const READERS: usize = 16;
    let server = RedisServer::shared();
    for plant in [
        &["HSET", "other", "field", "value"][..],
        &["SET", "other", "no message"],
        &["DEL", "other"],
    ] {
        let settings = Settings::shared().capacity(1_000);
        let (sender, receiver) = (settings.ours(), settings.ours());
        let key = settings.key("other");
        let planted: Vec<_> = plant
            .iter()
            .map(|word| if *word == "other" { &*key } else { *word })
            .collect();
        server.command(&planted);
        for number in 0..MESSAGES {
            let message = message! { "number" => number };
            sender
                .send(&channel("mixed"), message)
                .await
                .expect("there is room");
            if number % 7 == 1 {
                server.command(&["RPUSH", &settings.key("mixed"), &key]);
            }
        }
        let (sink, mut received) = mpsc::channel(READERS);
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            let (receiver, sink) = (receiver.clone(), sink.clone());
            readers.spawn(async move {
                let names = [channel("mixed")];
                loop {
                    let (_, message) = receiver.receive(&names).await.expect("the layer works");
                    let number = message.int("number").expect("a number");
                    sink.send(number).await.expect("the test waits");
                }
            });
        }
        let mut seen = BTreeSet::new();
        while seen.len() < MESSAGES as usize {
            let missing = MESSAGES as usize - seen.len();
            let next = within(format!("{missing} more with {plant:?}"), received.recv()).await;
            let number = next.expect("the readers live");
            assert!(seen.insert(number), "{number} came twice");
        }
    }
}

/// Poison in front does not hold up what is behind it, however much there is.
#[tokio::test]
async fn much_poison_is_skipped_as_well() {
    let server = RedisServer::shared();
    let settings = Settings::shared().capacity(10_000);
    let mut connection = server.connect();
    for number in 0..2_000 {
        let key = settings.key(&format!("poison{number}"));
        connection.call(&["SET", &*key, "\u{1}"]).expect("stored");
        connection
            .call(&["RPUSH", &settings.key("normal"), &key])
            .expect("stored");
    }
    assert_eq!(
        expect_skipped(&settings, "normal", "much poison").await,
        2_000
    );
}

/// A key of another type at a channel's place is that channel's problem alone.
#[tokio::test]
async fn a_channel_that_cannot_be_used_does_not_hold_up_others() {
    let server = RedisServer::shared();
    let settings = Settings::shared();
    server.command(&["SET", &settings.key("spoilt"), "no list"]);
    let (sender, receiver) = (settings.ours(), settings.ours());
    let refused = within("send", sender.send(&channel("spoilt"), message! {})).await;
    assert!(refused.is_err());
    sender
        .send(&channel("sound"), message! { "value" => 1 })
        .await
        .expect("there is room");
    // In one process, but not in one call.
    let spoilt = [channel("spoilt")];
    let waits = receiver.receive(&spoilt);
    tokio::pin!(waits);
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut waits).await;
    assert!(!matches!(early, Ok(Ok(_))), "{early:?}");
    assert_eq!(take(&receiver, "sound").await.1, message! { "value" => 1 });
}

#[tokio::test]
async fn a_channel_that_cannot_be_used_is_passed_over_by_those_who_look() {
    const MESSAGES: usize = 20;
    let server = RedisServer::shared();
    let settings = Settings::shared();
    server.command(&["SET", &settings.key("spoilt"), "no list"]);
    let (sender, receiver) = (settings.ours(), settings.ours());
    for number in 0..MESSAGES {
        let message = message! { "number" => number as i64 };
        let sent = sender.send(&channel("sound"), message).await;
        sent.expect("there is room");
    }
    for number in 0..MESSAGES {
        let channels = [channel("spoilt"), channel("sound")];
        let found = receiver.try_receive(&channels).await;
        let (_, message) = found.expect("no error").expect("a message");
        assert_eq!(message, message! { "number" => number as i64 });
    }
}

#[tokio::test]
async fn group_members_that_are_no_names_are_skipped() {
    let server = RedisServer::shared();
    let settings = Settings::shared();
    let ours = settings.ours();
    let groups = ours.require_groups().expect("the layer has groups");
    groups
        .group_add(&group("chat"), &channel("sound"))
        .await
        .expect("added");
    let key = settings.group_key("chat");
    let now = server.command(&["TIME"]).texts()[0].to_owned();
    for member in [
        &b"no name"[..],
        b"",
        b"\xff\xfe",
        b"two!marks!here",
        b"ends?",
    ] {
        server.command(&[b"ZADD", key.as_bytes(), now.as_bytes(), member]);
    }
    let sent = within("send_group", groups.send_group(&group("chat"), message! {})).await;
    sent.expect("sent");
    assert_eq!(take(&ours, "sound").await.0, "sound");
    let members = groups
        .group_channels(&group("chat"))
        .await
        .expect("members");
    assert_eq!(
        members.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["sound"]
    );
}
