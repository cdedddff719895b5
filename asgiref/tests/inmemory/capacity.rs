//! Capacity: where it is counted and when there is room again.

use std::time::Duration;

use asgiref::{ChannelLayer, Error, Groups, InMemoryChannelLayer, LayerConfig};

use crate::{capacity, channel, drain, group, number};

#[tokio::test]
async fn the_refused_channel_is_named_by_its_non_local_part() {
    let layer = capacity(1);
    layer.send(&channel("process!a"), number(1)).await.unwrap();
    let error = layer
        .send(&channel("process!b"), number(2))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ChannelFull { channel } if channel == "process!"));
    layer.send(&channel("other!a"), number(3)).await.unwrap();
}

#[tokio::test]
async fn there_is_room_again_after_a_receive() {
    let layer = capacity(2);
    let channels = [channel("a")];
    for round in 0..5 {
        layer.send(&channels[0], number(round)).await.unwrap();
        layer.send(&channels[0], number(round)).await.unwrap();
        assert!(
            layer
                .send(&channels[0], number(round))
                .await
                .unwrap_err()
                .is_channel_full()
        );
        layer.try_receive(&channels).await.unwrap();
        layer.send(&channels[0], number(round)).await.unwrap();
        assert_eq!(drain(&layer, &channels).await, [round; 2]);
    }
}

#[tokio::test]
async fn channel_capacity_is_looked_up_by_the_non_local_part() {
    let config = LayerConfig::new()
        .capacity(1)
        .channel_capacity("daphne.response.*!", 3)
        .unwrap()
        .channel_capacity("daphne.*", 2)
        .unwrap()
        .channel_capacity("xx?", 4)
        .unwrap();
    let layer = InMemoryChannelLayer::with_config(config);
    for (name, expected) in [
        ("daphne.response.AbC!one", 3),
        ("daphne.response.AbC!two", 0),
        ("daphne.other", 2),
        ("xxx", 4),
        ("thumbnails", 1),
    ] {
        let mut sent = 0;
        while layer.send(&channel(name), number(0)).await.is_ok() {
            sent += 1;
        }
        assert_eq!(sent, expected, "{name}");
    }
}

#[tokio::test]
async fn a_group_send_leaves_out_full_members_only() {
    let layer = capacity(1);
    let members = ["a", "b", "process!1", "process!2"].map(channel);
    for member in &members {
        layer.group_add(&group("g"), member).await.unwrap();
    }
    layer.send(&members[0], number(1)).await.unwrap();
    layer.send_group(&group("g"), number(2)).await.unwrap();
    assert_eq!(drain(&layer, &[channel("a")]).await, [1]);
    assert_eq!(drain(&layer, &[channel("b")]).await, [2]);
    assert_eq!(drain(&layer, &[channel("process!")]).await, [2]);
}

#[tokio::test(start_paused = true)]
async fn what_is_expired_takes_no_room() {
    let layer = capacity(2);
    let channels = [channel("a")];
    layer.send(&channels[0], number(1)).await.unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    layer.send(&channels[0], number(2)).await.unwrap();
    assert!(layer.send(&channels[0], number(3)).await.is_err());
    tokio::time::advance(Duration::from_secs(30)).await;
    layer.send(&channels[0], number(4)).await.unwrap();
    assert!(layer.send(&channels[0], number(5)).await.is_err());
    assert_eq!(drain(&layer, &channels).await, [2, 4]);
}
