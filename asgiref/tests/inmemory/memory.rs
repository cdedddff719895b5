//! Memory of what nobody uses any more is given back, traffic or not, runtime or not.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use asgiref::{
    ByteString, Bytes, ChannelLayer, ChannelName, Flush, GlobalStatistics, GroupName, Groups,
    InMemoryChannelLayer, LayerConfig, Statistics,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use crate::{channel, group, now, number, poll};

const EXPIRY: Duration = Duration::from_secs(60);

/// A runtime whose time stands still while anything can run.
fn paused() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

async fn abandon_channels(layer: &InMemoryChannelLayer, count: usize) {
    for at in 0..count {
        layer
            .send(&channel(&format!("body?{at}")), number(1))
            .await
            .unwrap();
    }
}

async fn statistics(layer: &InMemoryChannelLayer) -> GlobalStatistics {
    layer.global_statistics().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn abandoned_channels_are_forgotten_without_traffic() {
    let layer = InMemoryChannelLayer::new();
    abandon_channels(&layer, 10_000).await;
    assert_eq!(layer.channel_count(), 10_000);
    sleep(3 * EXPIRY).await;
    assert_eq!(layer.channel_count(), 0);
    assert_eq!(
        statistics(&layer).await.messages_count,
        10_000,
        "the sum stays"
    );
}

#[tokio::test(start_paused = true)]
async fn emptied_channels_are_forgotten_but_not_at_once() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a")];
    layer.send(&channels[0], number(1)).await.unwrap();
    layer.receive(&channels).await.unwrap();
    sleep(EXPIRY - Duration::from_secs(2)).await;
    assert_eq!(
        layer
            .channel_statistics(&channels[0])
            .await
            .unwrap()
            .messages_count,
        1
    );
    sleep(2 * EXPIRY).await;
    assert_eq!(layer.channel_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn channels_in_use_are_kept() {
    let layer = InMemoryChannelLayer::new();
    layer
        .group_add(&group("g"), &channel("member"))
        .await
        .unwrap();
    let waited_for = [channel("waited.for")];
    let mut call = pin!(layer.receive(&waited_for));
    assert_eq!(poll(&mut call), None);
    sleep(10 * EXPIRY).await;
    assert_eq!(layer.channel_count(), 2);
    layer.send_group(&group("g"), number(1)).await.unwrap();
    assert_eq!(
        layer
            .try_receive(&[channel("member")])
            .await
            .unwrap()
            .unwrap()
            .0,
        "member"
    );
    layer.send(&waited_for[0], number(2)).await.unwrap();
    assert_eq!(poll(&mut call), Some(2));
}

#[tokio::test(start_paused = true)]
async fn channels_of_cancelled_receives_are_forgotten() {
    let layer = InMemoryChannelLayer::new();
    for at in 0..100 {
        let channels = [channel(&format!("body?{at}"))];
        assert!(
            timeout(Duration::from_millis(1), layer.receive(&channels))
                .await
                .is_err()
        );
    }
    assert_eq!(layer.channel_count(), 100);
    sleep(4 * EXPIRY).await;
    assert_eq!(layer.channel_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn discarded_members_and_ended_memberships_are_forgotten() {
    let layer = InMemoryChannelLayer::with_config(
        LayerConfig::new().group_expiry(Duration::from_secs(600)),
    );
    for at in 0..1_000 {
        let member = channel(&format!("member.{at}"));
        layer
            .group_add(&group(&format!("group.{at}")), &member)
            .await
            .unwrap();
        layer.group_add(&group("all"), &member).await.unwrap();
        if at % 2 == 0 {
            layer
                .group_discard(&group(&format!("group.{at}")), &member)
                .await
                .unwrap();
            layer.group_discard(&group("all"), &member).await.unwrap();
        }
    }
    assert_eq!(layer.channel_count(), 1_000);
    sleep(3 * EXPIRY).await;
    assert_eq!(layer.channel_count(), 500);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(layer.channel_count(), 0);
}

/// Something large that says when it is given back.
struct Large(Arc<AtomicBool>);

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        b"a large message with the name process!1 in it"
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn names_do_not_keep_what_they_are_part_of() {
    let given_back = Arc::new(AtomicBool::new(false));
    let large = Bytes::from_owner(Large(Arc::clone(&given_back)));
    let part = |range: Range<usize>| ByteString::try_from(large.slice(range)).unwrap();
    let (name, member) = (GroupName::new(part(2..7)), ChannelName::new(part(30..39)));
    let (name, member) = (name.unwrap(), member.unwrap());
    assert_eq!((name.as_str(), member.as_str()), ("large", "process!1"));

    let layer = InMemoryChannelLayer::new();
    layer.send(&member, number(1)).await.unwrap();
    layer.group_add(&name, &member).await.unwrap();
    drop((large, name, member));
    assert!(
        !given_back.load(Ordering::Relaxed),
        "the waiting message has the name"
    );
    layer.receive(&[channel("process!")]).await.unwrap();
    assert!(given_back.load(Ordering::Relaxed));
    assert_eq!(
        layer.group_channels(&group("large")).await.unwrap().len(),
        1
    );
}

/// The only timer in these tests is the layer's: a clock that stands still while something can
/// run jumps to it at once, and a wait that has no timer to jump to never ends by itself.
#[test]
fn a_layer_with_nothing_to_watch_has_no_task() {
    let runtime = paused();
    let layer = InMemoryChannelLayer::new();
    let tasks = || runtime.metrics().num_alive_tasks();
    runtime.block_on(async {
        assert_eq!(tasks(), 0);
        for _ in 0..3 {
            abandon_channels(&layer, 10).await;
            assert_eq!(tasks(), 1);
            sleep(5 * EXPIRY).await;
            assert_eq!(tasks(), 0);
        }
        abandon_channels(&layer, 10).await;
        layer.flush().await.unwrap();
        drop(layer);
        sleep(EXPIRY).await;
        assert_eq!(tasks(), 0, "the task outlives its layer");
    });
}

#[test]
fn a_layer_used_outside_a_runtime_first_is_looked_after_inside() {
    let layer = InMemoryChannelLayer::new();
    now(abandon_channels(&layer, 10));
    paused().block_on(async {
        abandon_channels(&layer, 20).await;
        assert_eq!(layer.channel_count(), 20);
        sleep(3 * EXPIRY).await;
        assert_eq!(layer.channel_count(), 0);
    });
}

#[test]
fn a_layer_outlives_the_runtime_it_was_used_in() {
    let layer = InMemoryChannelLayer::new();
    let first = paused();
    first.block_on(abandon_channels(&layer, 10));
    assert_eq!(first.metrics().num_alive_tasks(), 1);
    drop(first);
    let second = paused();
    second.block_on(async {
        abandon_channels(&layer, 10).await;
        assert_eq!(second.metrics().num_alive_tasks(), 1);
        sleep(3 * EXPIRY).await;
        assert_eq!(layer.channel_count(), 0);
    });
}

#[test]
fn a_layer_used_in_a_runtime_that_is_not_driven_any_more_is_looked_after_in_another() {
    let layer = InMemoryChannelLayer::new();
    let abandoned = paused();
    abandoned.block_on(abandon_channels(&layer, 10));
    let runtime = paused();
    runtime.block_on(async {
        sleep(3 * EXPIRY).await;
        assert_eq!(layer.channel_count(), 10, "nobody came by");
        abandon_channels(&layer, 20).await;
        sleep(3 * EXPIRY).await;
        assert_eq!(layer.channel_count(), 0);
        abandon_channels(&layer, 1).await;
    });
    // The old task sees that it was replaced.
    abandoned.block_on(async { sleep(EXPIRY).await });
    assert_eq!(abandoned.metrics().num_alive_tasks(), 0);
}

/// Without a runtime there is no clock to stop, so this takes three seconds.
#[test]
fn a_layer_never_used_in_a_runtime_is_looked_after_by_its_callers() {
    let config = LayerConfig::new().expiry(Duration::from_millis(10));
    let layer = InMemoryChannelLayer::with_config(config);
    now(abandon_channels(&layer, 100));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let visitor = channel("visitor");
    while layer.channel_count() > 1 {
        assert!(
            std::time::Instant::now() < deadline,
            "{} channels left",
            layer.channel_count()
        );
        let _ = now(layer.send(&visitor, number(1)));
        std::thread::yield_now();
    }
}

/// The task cannot run there, and must neither disturb nor be tried again with every call.
#[test]
fn a_runtime_without_a_timer_carries_messages_all_the_same() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a")];
    runtime.block_on(async {
        for round in 0..3 {
            layer.send(&channels[0], number(round)).await.unwrap();
            tokio::task::yield_now().await;
            let (_, message) = layer.receive(&channels).await.unwrap();
            assert_eq!(message.int("number").unwrap(), round);
            assert_eq!(runtime.metrics().num_alive_tasks(), 0);
        }
    });
}
