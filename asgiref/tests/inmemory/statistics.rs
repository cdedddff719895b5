//! The figures. Time stands still unless a test advances it.

use std::time::Duration;

use asgiref::{
    ChannelLayer, ChannelStatistics, Groups, InMemoryChannelLayer, LayerConfig, Statistics,
};
use tokio::time::{advance, sleep};

use crate::{capacity, channel, drain, group, number};

const SECOND: Duration = Duration::from_secs(1);

async fn of(layer: &InMemoryChannelLayer, name: &str) -> ChannelStatistics {
    layer.channel_statistics(&channel(name)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_channel_never_used_has_zeros() {
    let layer = InMemoryChannelLayer::new();
    assert_eq!(of(&layer, "a").await, ChannelStatistics::default());
    assert_eq!(layer.channel_count(), 0, "asking makes no channel");
}

#[tokio::test(start_paused = true)]
async fn messages_are_counted_when_sent_and_pending_until_received_or_expired() {
    let layer = InMemoryChannelLayer::new();
    for at in 0..3 {
        layer.send(&channel("a"), number(at)).await.unwrap();
        advance(20 * SECOND).await;
    }
    // The first is over now, whether anyone noticed or not.
    let figures = of(&layer, "a").await;
    assert_eq!((figures.messages_count, figures.messages_pending), (3, 2));
    assert_eq!(figures.messages_max_age, 40 * SECOND);
    layer.try_receive(&[channel("a")]).await.unwrap().unwrap();
    let figures = of(&layer, "a").await;
    assert_eq!((figures.messages_count, figures.messages_pending), (3, 1));
    assert_eq!(figures.messages_max_age, 20 * SECOND);
    drain(&layer, &[channel("a")]).await;
    let figures = of(&layer, "a").await;
    assert_eq!((figures.messages_count, figures.messages_pending), (3, 0));
    assert_eq!(figures.messages_max_age, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn refused_messages_are_counted_apart() {
    let layer = capacity(2);
    for at in 0..5 {
        let _ = layer.send(&channel("process!a"), number(at)).await;
    }
    // Any local part, or none, asks for the same channel.
    for name in ["process!a", "process!b", "process!"] {
        let figures = of(&layer, name).await;
        assert_eq!(
            (figures.messages_count, figures.channel_full_count),
            (2, 3),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn members_left_out_of_a_group_send_count_as_refused() {
    let layer = capacity(2);
    for name in ["normal", "process!1", "process!2", "process!3"] {
        layer.group_add(&group("g"), &channel(name)).await.unwrap();
    }
    for at in 0..3 {
        layer.send_group(&group("g"), number(at)).await.unwrap();
    }
    let normal = of(&layer, "normal").await;
    assert_eq!((normal.messages_count, normal.channel_full_count), (2, 1));
    let process = of(&layer, "process!").await;
    assert_eq!((process.messages_count, process.channel_full_count), (2, 7));
}

#[tokio::test(start_paused = true)]
async fn figures_per_second_are_those_of_the_last_full_second() {
    let layer = capacity(2);
    for at in 0..5 {
        let _ = layer.send(&channel("a"), number(at)).await;
    }
    let per_second = async || {
        let figures = of(&layer, "a").await;
        (
            figures.messages_count_per_second,
            figures.channel_full_count_per_second,
        )
    };
    assert_eq!(per_second().await, (0, 0));
    advance(SECOND).await;
    assert_eq!(per_second().await, (2, 3));
    let _ = layer.send(&channel("a"), number(5)).await;
    assert_eq!(per_second().await, (2, 3));
    advance(SECOND).await;
    assert_eq!(per_second().await, (0, 1));
    advance(SECOND).await;
    assert_eq!(per_second().await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_layers_figures_are_sums_and_the_greatest_age() {
    let layer = capacity(2);
    for name in ["a", "b?x", "process!1"] {
        for at in 0..3 {
            let _ = layer.send(&channel(name), number(at)).await;
        }
        advance(SECOND).await;
    }
    let all = layer.global_statistics().await.unwrap();
    assert_eq!((all.messages_count, all.channel_full_count), (6, 3));
    assert_eq!(
        (
            all.messages_count_per_second,
            all.channel_full_count_per_second
        ),
        (2, 1)
    );
    assert_eq!(all.messages_pending, 6);
    assert_eq!(all.messages_max_age, 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_layers_counts_outlive_its_channels() {
    let config = LayerConfig::new().capacity(1).expiry(SECOND);
    let layer = InMemoryChannelLayer::with_config(config);
    for at in 0..10 {
        for _ in 0..2 {
            let _ = layer.send(&channel(&format!("c{at}")), number(at)).await;
        }
        sleep(5 * SECOND).await;
        let all = layer.global_statistics().await.unwrap();
        let so_far = at as u64 + 1;
        assert_eq!(
            (all.messages_count, all.channel_full_count),
            (so_far, so_far)
        );
    }
    assert_eq!(layer.channel_count(), 0);
}
