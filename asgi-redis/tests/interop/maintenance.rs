//! Statistics and flush.

use std::time::Duration;

use asgiref::{ChannelLayer as _, ChannelLayerExt as _, message};

use crate::support::pair::{Settings, channel, group, look, take};
use crate::support::server::RedisServer;
use crate::support::until;

#[tokio::test]
async fn both_sides_count_together() {
    for shards in [1, 3] {
        let servers = RedisServer::several(shards);
        let settings = Settings::on(&servers).capacity(30);
        let (ours, theirs) = (settings.ours(), settings.theirs());
        let statistics = ours.require_statistics().expect("the layer has statistics");
        for name in ["normal", "single?abc", "process!local"] {
            for number in 0..3 {
                let message = message! { "number" => number };
                ours.send(&channel(name), message.clone())
                    .await
                    .expect("there is room");
                theirs.send(name, &message).expect("there is room");
            }
            let counted_by = channel(name).non_local().to_owned();
            let in_python = theirs.channel_statistics(&counted_by).expect("statistics");
            let here = statistics
                .channel_statistics(&channel(name))
                .await
                .expect("statistics");
            assert_eq!(in_python["messages_count"], 6, "{name}");
            assert_eq!(here.messages_count, 6, "{name}");
            assert_eq!(in_python["messages_pending"], 6, "{name}");
            assert_eq!(here.messages_pending, 6, "{name}");
            assert_eq!(here.channel_full_count, 0, "{name}");
        }
        let in_python = theirs.global_statistics().expect("statistics");
        let here = statistics.global_statistics().await.expect("statistics");
        assert_eq!(in_python["messages_count"], 18);
        assert_eq!(here.messages_count, 18);
    }
}

#[tokio::test]
async fn both_sides_count_what_was_refused() {
    let settings = Settings::shared().capacity(1);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    ours.send(&channel("busy"), message! {})
        .await
        .expect("there is room");
    assert!(ours.send(&channel("busy"), message! {}).await.is_err());
    assert!(theirs.send("busy", &message! {}).is_err());
    let statistics = ours.require_statistics().expect("the layer has statistics");
    let here = statistics
        .channel_statistics(&channel("busy"))
        .await
        .expect("statistics");
    assert_eq!((here.messages_count, here.channel_full_count), (1, 2));
    let in_python = theirs.channel_statistics("busy").expect("statistics");
    assert_eq!(in_python["channel_full_count"], 2);
    let here = statistics.global_statistics().await.expect("statistics");
    assert_eq!((here.messages_count, here.channel_full_count), (1, 2));
    assert_eq!(
        theirs.global_statistics().expect("statistics")["channel_full_count"],
        2
    );
}

#[tokio::test]
async fn we_know_how_long_python_s_oldest_message_waits() {
    let settings = Settings::shared();
    let (ours, theirs) = (settings.ours(), settings.theirs());
    let statistics = ours.require_statistics().expect("the layer has statistics");
    theirs.send("slow", &message! {}).expect("there is room");
    let age = async || {
        let figures = statistics.channel_statistics(&channel("slow")).await;
        figures.expect("statistics").messages_max_age
    };
    assert!(age().await < Duration::from_secs(30));
    while age().await < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    take(&ours, "slow").await;
    assert_eq!(age().await, Duration::ZERO);
}

/// Python counts in keys that a flush removes.
#[tokio::test]
async fn a_flush_of_either_side_empties_the_layer_for_both() {
    let servers = RedisServer::several(2);
    let settings = Settings::on(&servers);
    let other = Settings::on(&servers);
    other
        .ours()
        .send(&channel("keep"), message! {})
        .await
        .expect("there is room");
    let (ours, theirs) = (settings.ours(), settings.theirs());
    for by_python in [false, true] {
        for name in ["normal", "single?abc", "process!local"] {
            ours.send(&channel(name), message! {})
                .await
                .expect("there is room");
            theirs.send(name, &message! {}).expect("there is room");
        }
        theirs.group_add("chat", "normal").expect("added");
        if by_python {
            theirs.flush().expect("flushed");
        } else {
            let flush = ours.require_flush().expect("the layer can be flushed");
            flush.flush().await.expect("flushed");
        }
        for name in ["normal", "single?abc", "process!"] {
            assert_eq!(look(&ours, name).await, None);
            assert_eq!(look(&ours, name).await, None);
            assert_eq!(theirs.try_receive(&[name]), Ok(None));
            assert_eq!(theirs.try_receive(&[name]), Ok(None));
        }
        assert_eq!(
            theirs.group_channels("chat").expect("members"),
            Vec::<String>::new()
        );
        let groups = ours.require_groups().expect("the layer has groups");
        let members = groups
            .group_channels(&group("chat"))
            .await
            .expect("members");
        assert!(members.is_empty());
        assert_eq!(
            theirs.global_statistics().expect("statistics")["messages_count"],
            0
        );
    }
    assert_eq!(take(&other.ours(), "keep").await.0, "keep");
}

/// The original does not flush under such a prefix, and flushes others instead.
#[tokio::test]
async fn a_prefix_that_looks_like_a_pattern_is_none() {
    let server = RedisServer::start();
    for (odd, similar) in [("a[b]*?:", "ab:"), ("a\\:", "a:"), ("*", "anything:")] {
        let [flushed, kept] = [odd, similar].map(|prefix| Settings::on([&server]).prefix(prefix));
        let (ours, other) = (flushed.ours(), kept.ours());
        ours.send(&channel("somewhere"), message! {})
            .await
            .expect("there is room");
        other
            .send(&channel("somewhere"), message! {})
            .await
            .expect("there is room");
        ours.require_flush()
            .expect("flush")
            .flush()
            .await
            .expect("flushed");
        assert_eq!(look(&ours, "somewhere").await, None, "{odd}");
        assert_eq!(take(&other, "somewhere").await.0, "somewhere", "{similar}");
    }
}

/// Whatever was written has an end, also if nobody comes back.
#[tokio::test]
async fn nothing_of_ours_stays_in_the_server_for_ever() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let ours = settings.ours();
    for name in ["normal", "single?abc", "process!local"] {
        ours.send(&channel(name), message! {})
            .await
            .expect("there is room");
        let groups = ours.require_groups().expect("the layer has groups");
        groups
            .group_add(&group("chat"), &channel(name))
            .await
            .expect("added");
        groups
            .send_group(&group("chat"), message! {})
            .await
            .expect("sent");
    }
    until("all keys to have an end", || {
        let keys = server.keys("*");
        keys.iter()
            .all(|key| server.command(&["TTL", key]).int() != -1)
    })
    .await;
}
