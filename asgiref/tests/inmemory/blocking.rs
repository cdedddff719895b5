//! Blocked receives: who is woken, and what becomes of the news when the one who was told goes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use asgiref::{ChannelLayer, Groups, InMemoryChannelLayer};
use tokio::time::timeout;

use crate::{channel, drain, group, number, poll, poll_with};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (Arc::clone(&wakes), wakes.into())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_blocked_call_is_woken_by_any_of_its_channels() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a"), channel("b?x"), channel("c!")];
    for (at, to) in ["a", "b?x", "c!local"].into_iter().enumerate() {
        let mut call = pin!(layer.receive(&channels));
        assert_eq!(poll(&mut call), None);
        layer.send(&channel(to), number(at as i64)).await.unwrap();
        let (from, message) = call.await.unwrap();
        assert_eq!(
            (from.as_str(), message.int("number").unwrap()),
            (to, at as i64)
        );
    }
}

#[tokio::test]
async fn a_message_wakes_one_call_and_the_longest_waiting_first() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a")];
    let (mut first, (first_wakes, first_waker)) = (pin!(layer.receive(&channels)), Wakes::new());
    let (mut second, (second_wakes, second_waker)) = (pin!(layer.receive(&channels)), Wakes::new());
    assert_eq!(poll_with(&mut first, &first_waker), None);
    assert_eq!(poll_with(&mut second, &second_waker), None);
    layer.send(&channels[0], number(1)).await.unwrap();
    assert_eq!((first_wakes.count(), second_wakes.count()), (1, 0));
    layer.send(&channels[0], number(2)).await.unwrap();
    assert_eq!((first_wakes.count(), second_wakes.count()), (1, 1));
    assert_eq!(poll(&mut first), Some(1));
    assert_eq!(poll(&mut second), Some(2));
}

#[tokio::test]
async fn a_group_send_wakes_a_call_for_every_message() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("process!")];
    for local in 0..3 {
        let member = channel(&format!("process!{local}"));
        layer.group_add(&group("g"), &member).await.unwrap();
    }
    let mut calls: Vec<_> = (0..4).map(|_| Box::pin(layer.receive(&channels))).collect();
    for call in &mut calls {
        assert_eq!(poll(&mut call.as_mut()), None);
    }
    layer.send_group(&group("g"), number(1)).await.unwrap();
    let received: Vec<_> = calls
        .iter_mut()
        .map(|call| poll(&mut call.as_mut()))
        .collect();
    assert_eq!(received, [Some(1), Some(1), Some(1), None]);
}

#[tokio::test]
async fn the_waker_of_the_last_poll_is_woken() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a")];
    let mut call = pin!(layer.receive(&channels));
    let ((before, old_waker), (after, new_waker)) = (Wakes::new(), Wakes::new());
    assert_eq!(poll_with(&mut call, &old_waker), None);
    assert_eq!(poll_with(&mut call, &new_waker), None);
    layer.send(&channels[0], number(1)).await.unwrap();
    assert_eq!((before.count(), after.count()), (0, 1));
}

#[tokio::test]
async fn dropping_a_waiting_call_takes_no_message_later() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a"), channel("b")];
    {
        let mut call = pin!(layer.receive(&channels));
        assert_eq!(poll(&mut call), None);
    }
    layer.send(&channels[0], number(1)).await.unwrap();
    layer.send(&channels[1], number(2)).await.unwrap();
    let mut left = drain(&layer, &channels).await;
    left.sort_unstable();
    assert_eq!(left, [1, 2]);
}

#[tokio::test]
async fn a_call_dropped_after_it_was_told_passes_the_news_on() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a")];
    let mut other = pin!(layer.receive(&channels));
    {
        let mut told = Box::pin(layer.receive(&channels));
        assert_eq!(poll(&mut told.as_mut()), None);
        assert_eq!(poll(&mut other), None);
        layer.send(&channels[0], number(1)).await.unwrap();
    }
    let (_, message) = timeout(Duration::from_secs(5), other)
        .await
        .expect("woken")
        .unwrap();
    assert_eq!(message.int("number").unwrap(), 1);
}

#[tokio::test]
async fn messages_on_two_channels_are_announced_to_two_calls() {
    let layer = InMemoryChannelLayer::new();
    let both = [channel("a"), channel("b")];
    let mut first = pin!(layer.receive(&both));
    let mut second = pin!(layer.receive(&both));
    let (wakes, waker) = Wakes::new();
    assert_eq!(poll(&mut first), None);
    assert_eq!(poll_with(&mut second, &waker), None);

    layer.send(&both[0], number(1)).await.unwrap();
    assert_eq!(wakes.count(), 0);
    // The first call is spoken for although it has not run yet.
    layer.send(&both[1], number(2)).await.unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(&mut second), Some(2));
    assert_eq!(poll(&mut first), Some(1));
}

#[tokio::test]
async fn a_call_that_comes_too_late_waits_on_and_is_woken_by_the_next_message() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a"), channel("b")];
    let mut call = pin!(layer.receive(&channels));
    let (wakes, waker) = Wakes::new();
    assert_eq!(poll_with(&mut call, &waker), None);
    for (at, to) in channels.iter().chain(&channels).enumerate() {
        layer.send(to, number(1)).await.unwrap();
        assert_eq!(wakes.count(), at + 1);
        assert_eq!(drain(&layer, &channels).await, [1]);
        assert_eq!(poll_with(&mut call, &waker), None);
    }
    layer.send(&channels[1], number(2)).await.unwrap();
    assert_eq!(poll(&mut call), Some(2));
}

#[tokio::test(start_paused = true)]
async fn receiving_from_no_channels_waits_for_ever() {
    let layer = InMemoryChannelLayer::new();
    let wait = timeout(Duration::from_secs(86_400), layer.receive(&[]));
    assert!(wait.await.is_err());
    assert!(layer.try_receive(&[]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_channel_named_twice_gives_each_message_once() {
    let layer = InMemoryChannelLayer::new();
    let twice = [channel("a"), channel("a")];
    let mut call = pin!(layer.receive(&twice));
    assert_eq!(poll(&mut call), None);
    layer.send(&twice[0], number(1)).await.unwrap();
    layer.send(&twice[0], number(2)).await.unwrap();
    assert_eq!(poll(&mut call), Some(1));
    assert_eq!(drain(&layer, &twice).await, [2]);
}

#[tokio::test]
async fn a_local_part_is_refused_in_receive() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a"), channel("process!local")];
    assert!(layer.receive(&channels).await.is_err());
    assert!(layer.try_receive(&channels).await.is_err());
}

#[tokio::test]
async fn a_reader_of_a_busy_channel_lets_other_tasks_run() {
    let layer = InMemoryChannelLayer::new();
    let channels = [channel("a")];
    let turn = tokio::spawn(async {});
    let mut received = 0;
    while !turn.is_finished() {
        layer.send(&channels[0], number(1)).await.unwrap();
        layer.receive(&channels).await.unwrap();
        received += 1;
        assert!(received < 100_000, "the other task never had its turn");
    }
}

#[tokio::test]
async fn a_busy_channel_does_not_starve_a_quiet_one() {
    let layer = InMemoryChannelLayer::new();
    let channels: Vec<_> = (0..10)
        .map(|at| channel(&format!("busy.{at}")))
        .chain([channel("quiet")])
        .collect();
    layer.send(&channels[10], number(0)).await.unwrap();
    for round in 1.. {
        for busy in &channels[..10] {
            let _ = layer.send(busy, number(1)).await;
        }
        let (from, _) = layer.receive(&channels).await.unwrap();
        if from == "quiet" {
            break;
        }
        // With an even chance of one in eleven, this fails once in 10^40 runs.
        assert!(round < 1_000, "the quiet channel was never looked at first");
    }
}
