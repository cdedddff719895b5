//! Flushing: a blank layer, for everyone.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use asgiref::{ChannelLayer, Flush, GlobalStatistics, Groups, InMemoryChannelLayer, Statistics};

use crate::{capacity, channel, drain, group, now, number, poll, wait_for};

#[tokio::test]
async fn messages_memberships_and_figures_are_gone() {
    let layer = capacity(1);
    let names = ["normal", "single?reader", "process!1", "process!2"];
    for name in names {
        layer.group_add(&group("g"), &channel(name)).await.unwrap();
        let _ = layer.send(&channel(name), number(1)).await;
    }
    layer.flush().await.unwrap();
    assert!(layer.group_channels(&group("g")).await.unwrap().is_empty());
    layer.send_group(&group("g"), number(2)).await.unwrap();
    for name in names {
        let channels = [channel(name).to_non_local()];
        assert_eq!(drain(&layer, &channels).await, [], "{name}");
    }
    let figures = layer.global_statistics().await.unwrap();
    assert_eq!(figures, GlobalStatistics::default());
}

#[tokio::test]
async fn the_layer_is_as_good_as_new() {
    let layer = capacity(1);
    let member = channel("process!1");
    for round in 0..3 {
        layer.group_add(&group("g"), &member).await.unwrap();
        layer.group_add(&group("h"), &member).await.unwrap();
        layer.flush().await.unwrap();
        layer.group_add(&group("g"), &member).await.unwrap();
        layer.send_group(&group("g"), number(round)).await.unwrap();
        layer.send_group(&group("h"), number(-1)).await.unwrap();
        assert_eq!(drain(&layer, &[channel("process!")]).await, [round]);
        layer.group_discard(&group("g"), &member).await.unwrap();
        assert!(layer.group_channels(&group("g")).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_blocked_call_goes_on_waiting() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a")];
    let mut call = pin!(layer.receive(&channels));
    assert_eq!(poll(&mut call), None);
    layer.send(&channels[0], number(1)).await.unwrap();
    layer.flush().await.unwrap();
    assert_eq!(poll(&mut call), None);
    layer.send(&channels[0], number(2)).await.unwrap();
    assert_eq!(poll(&mut call), Some(2));
}

/// To a client that works on while another one flushes, the flush happens at one moment: all it
/// did before is gone, all it did after is there.
#[test]
fn a_flush_happens_at_one_moment() {
    const ROUNDS: usize = 2_000;
    const STEPS: usize = 50;
    let layer = InMemoryChannelLayer::new();
    let channels: Vec<_> = (0..STEPS).map(|at| channel(&format!("c{at}"))).collect();
    let groups: Vec<_> = (0..STEPS).map(|at| group(&format!("g{at}"))).collect();
    let (begun, flushed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                wait_for(&begun, round);
                now(layer.flush()).unwrap();
                flushed.store(round, Ordering::Release);
            }
        });
        for round in 1..=ROUNDS {
            let with_groups = round % 2 == 0;
            for at in 0..STEPS {
                if at == round % STEPS {
                    begun.store(round, Ordering::Release);
                }
                now(layer.send(&channels[at], number(at as i64))).unwrap();
                // Every other round sends only: an add would wait for the end of the flush.
                if with_groups {
                    now(layer.group_add(&groups[at], &channels[0])).unwrap();
                }
            }
            wait_for(&flushed, round);
            let mut messages = now(drain(&layer, &channels));
            messages.sort_unstable();
            let mut members = Vec::new();
            for (at, group) in groups.iter().enumerate() {
                if !now(layer.group_channels(group)).unwrap().is_empty() {
                    members.push(at);
                }
            }
            let first = STEPS - messages.len();
            assert_eq!(messages, Vec::from_iter(first as i64..STEPS as i64));
            if with_groups {
                let first_member = STEPS - members.len();
                assert_eq!(members, Vec::from_iter(first_member..STEPS));
                assert!(first == first_member || first == first_member + 1);
            }
            now(layer.flush()).unwrap();
        }
    });
}
