//! Messages and memberships that are over. Time stands still unless a test advances it.

use std::time::Duration;

use asgiref::{ChannelLayer, Groups, InMemoryChannelLayer, LayerConfig, Statistics};
use tokio::time::{advance, sleep};

use crate::{channel, drain, group, number};

const EXPIRY: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);

fn layer() -> InMemoryChannelLayer {
    InMemoryChannelLayer::with_config(LayerConfig::new().expiry(EXPIRY))
}

#[tokio::test(start_paused = true)]
async fn a_message_is_received_until_its_time_is_over_and_not_after() {
    let layer = layer();
    for name in ["normal", "single?reader", "process!"] {
        let channels = [channel(name)];
        layer.send(&channels[0], number(1)).await.unwrap();
        advance(EXPIRY - MILLISECOND).await;
        assert_eq!(drain(&layer, &channels).await, [1], "{name}");
        layer.send(&channels[0], number(2)).await.unwrap();
        advance(EXPIRY).await;
        assert_eq!(drain(&layer, &channels).await, [], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_old_messages_of_a_channel_expire() {
    let layer = layer();
    let channels = [channel("a")];
    for at in 0..6 {
        layer.send(&channels[0], number(at)).await.unwrap();
        advance(EXPIRY / 4).await;
    }
    assert_eq!(drain(&layer, &channels).await, [3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_message_sent_to_a_group_expires_as_any_other() {
    let layer = layer();
    layer.group_add(&group("g"), &channel("a")).await.unwrap();
    layer.send_group(&group("g"), number(1)).await.unwrap();
    advance(EXPIRY).await;
    assert_eq!(drain(&layer, &[channel("a")]).await, []);
}

#[tokio::test(start_paused = true)]
async fn an_unread_message_ends_the_memberships_of_its_channel_alone() {
    let layer = layer();
    for name in ["process!gone", "process!alive", "normal"] {
        for at in ["g", "h"] {
            layer.group_add(&group(at), &channel(name)).await.unwrap();
        }
    }
    layer
        .send(&channel("process!gone"), number(1))
        .await
        .unwrap();
    for part in 1..=2 {
        assert_eq!(
            layer.group_channels(&group("g")).await.unwrap().len(),
            3,
            "part {part}"
        );
        advance(EXPIRY / 2).await;
    }
    for at in ["g", "h"] {
        let members = layer.group_channels(&group(at)).await.unwrap();
        assert_eq!(Vec::from_iter(members), ["normal", "process!alive"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_send_leaves_out_members_whose_message_expired() {
    let layer = layer();
    let members = ["process!gone", "process!alive", "normal", "quiet"].map(channel);
    for member in &members {
        layer.group_add(&group("g"), member).await.unwrap();
    }
    layer
        .send(&channel("process!gone"), number(1))
        .await
        .unwrap();
    layer.send(&channel("normal"), number(1)).await.unwrap();
    advance(EXPIRY).await;
    layer.send_group(&group("g"), number(2)).await.unwrap();
    assert_eq!(drain(&layer, &[channel("process!")]).await, [2]);
    assert_eq!(drain(&layer, &[channel("normal")]).await, []);
    assert_eq!(drain(&layer, &[channel("quiet")]).await, [2]);
    let left = layer.group_channels(&group("g")).await.unwrap();
    assert_eq!(Vec::from_iter(left), ["process!alive", "quiet"]);
}

#[tokio::test(start_paused = true)]
async fn memberships_end_in_the_background_too() {
    let layer = layer();
    layer
        .group_add(&group("g"), &channel("process!gone"))
        .await
        .unwrap();
    layer
        .send(&channel("process!gone"), number(1))
        .await
        .unwrap();
    assert_eq!(layer.channel_count(), 1);
    sleep(2 * EXPIRY).await;
    assert_eq!(
        layer.channel_count(),
        0,
        "the group still refers to the channel"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_reads_stays() {
    let layer = layer();
    let member = channel("process!reader");
    layer.group_add(&group("g"), &member).await.unwrap();
    for _ in 0..10 {
        layer.send_group(&group("g"), number(1)).await.unwrap();
        advance(EXPIRY - MILLISECOND).await;
        assert_eq!(drain(&layer, &[channel("process!")]).await, [1]);
    }
    assert_eq!(layer.group_channels(&group("g")).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_membership_begun_after_the_message_was_over_stays() {
    let layer = layer();
    let member = channel("process!back");
    layer.group_add(&group("g"), &member).await.unwrap();
    layer.send(&member, number(1)).await.unwrap();
    advance(EXPIRY).await;
    layer.group_add(&group("g"), &member).await.unwrap();
    assert_eq!(drain(&layer, &[channel("process!")]).await, []);
    assert_eq!(layer.group_channels(&group("g")).await.unwrap().len(), 1);
    layer.send_group(&group("g"), number(2)).await.unwrap();
    assert_eq!(drain(&layer, &[channel("process!")]).await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_membership_renewed_before_the_message_was_over_ends_with_it() {
    let layer = layer();
    let member = channel("process!gone");
    layer.group_add(&group("g"), &member).await.unwrap();
    layer.send(&member, number(1)).await.unwrap();
    advance(EXPIRY - MILLISECOND).await;
    layer.group_add(&group("g"), &member).await.unwrap();
    advance(MILLISECOND).await;
    layer.send_group(&group("g"), number(2)).await.unwrap();
    assert_eq!(drain(&layer, &[channel("process!")]).await, []);
    assert!(layer.group_channels(&group("g")).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_membership_lasts_group_expiry_after_the_latest_add() {
    let group_expiry = Duration::from_secs(600);
    let config = LayerConfig::new().expiry(EXPIRY).group_expiry(group_expiry);
    let layer = InMemoryChannelLayer::with_config(config);
    assert_eq!(layer.group_expiry(), group_expiry);
    let members = ["process!1", "process!2", "normal"].map(channel);
    for member in &members {
        layer.group_add(&group("g"), member).await.unwrap();
    }
    advance(group_expiry / 2).await;
    layer.group_add(&group("g"), &members[1]).await.unwrap();
    advance(group_expiry / 2 - MILLISECOND).await;
    assert_eq!(layer.group_channels(&group("g")).await.unwrap().len(), 3);
    advance(MILLISECOND).await;
    let left = layer.group_channels(&group("g")).await.unwrap();
    assert_eq!(Vec::from_iter(left), ["process!2"]);
    layer.send_group(&group("g"), number(1)).await.unwrap();
    assert_eq!(
        drain(&layer, &[channel("process!"), channel("normal")]).await,
        [1]
    );
    advance(group_expiry / 2).await;
    layer.send_group(&group("g"), number(2)).await.unwrap();
    assert_eq!(drain(&layer, &[channel("process!")]).await, []);
}

#[tokio::test(start_paused = true)]
async fn the_longest_expiries_there_are_overflow_nothing() {
    let config = LayerConfig::new()
        .expiry(Duration::MAX)
        .group_expiry(Duration::MAX);
    let layer = InMemoryChannelLayer::with_config(config);
    layer.group_add(&group("g"), &channel("a")).await.unwrap();
    layer.send_group(&group("g"), number(1)).await.unwrap();
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(layer.global_statistics().await.unwrap().messages_pending, 1);
    assert_eq!(drain(&layer, &[channel("a")]).await, [1]);
}
