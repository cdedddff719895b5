//! Several threads at once: nothing twice, nothing lost, order kept where it is promised.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

use asgiref::{
    ChannelLayer, ChannelName, Groups, InMemoryChannelLayer, LayerConfig, Message, Statistics,
    message,
};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::{capacity, channel, drain, group, now, number, poll, poll_with, wait_for};

/// Far beyond what any of these tests takes; a lost wake-up shows as this.
const LIMIT: Duration = Duration::from_secs(120);

fn from(writer: usize, at: usize) -> Message {
    message! { "writer" => writer as i64, "at" => at as i64 }
}

fn identity(message: &Message) -> (i64, i64) {
    (message.int("writer").unwrap(), message.int("at").unwrap())
}

/// `writers` tasks send `each` messages round robin to `to`, as fast as there is room.
fn spawn_writers(
    tasks: &mut JoinSet<()>,
    layer: &InMemoryChannelLayer,
    to: &[ChannelName],
    writers: usize,
    each: usize,
) {
    for writer in 0..writers {
        let (layer, to) = (layer.clone(), to.to_vec());
        tasks.spawn(async move {
            for at in 0..each {
                let channel = &to[at % to.len()];
                while let Err(error) = layer.send(channel, from(writer, at)).await {
                    assert!(error.is_channel_full(), "{error}");
                    yield_now().await;
                }
            }
        });
    }
}

async fn join(mut tasks: JoinSet<()>) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    };
    timeout(LIMIT, all).await.expect("no task waits for ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_and_readers_exchange_every_message_once() {
    const WRITERS: usize = 8;
    const EACH: usize = 5_000;
    let layer = capacity(50);
    let to = ["a", "b", "single?reader", "process!1", "process!2"].map(channel);
    let channels = ["a", "b", "single?reader", "process!"].map(channel);
    let (sender, mut receiver) = tokio::sync::mpsc::channel(WRITERS * EACH);
    let taken = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for reader in 0..6 {
        let (layer, sender, taken) = (layer.clone(), sender.clone(), Arc::clone(&taken));
        // Some wait for one channel only, so that who is told matters.
        let channels = if reader < 4 {
            channels.to_vec()
        } else {
            channels[..1].to_vec()
        };
        tasks.spawn(async move {
            while taken.load(Ordering::Relaxed) < WRITERS * EACH {
                // The end of the test is not announced on the layer.
                let call = timeout(Duration::from_millis(50), layer.receive(&channels));
                if let Ok(received) = call.await {
                    taken.fetch_add(1, Ordering::Relaxed);
                    sender.try_send(identity(&received.unwrap().1)).unwrap();
                }
            }
        });
    }
    spawn_writers(&mut tasks, &layer, &to, WRITERS, EACH);
    join(tasks).await;
    drop(sender);
    let mut received = Vec::new();
    while let Some(identity) = receiver.recv().await {
        received.push(identity);
    }
    received.sort_unstable();
    let all = (0..WRITERS as i64).flat_map(|writer| (0..EACH as i64).map(move |at| (writer, at)));
    assert!(all.eq(received));
    assert_eq!(layer.global_statistics().await.unwrap().messages_pending, 0);
}

/// Every message must be announced: the only readers block without a time limit, so one that is
/// not announced hangs the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_between_readers_of_overlapping_channels() {
    const READERS: usize = 6;
    const EACH: usize = 4_000;
    let layer = capacity(4);
    let names: Vec<_> = (0..READERS).map(|at| channel(&format!("c{at}"))).collect();
    let mut tasks = JoinSet::new();
    let received = Arc::new(AtomicUsize::new(0));
    for reader in 0..READERS {
        // Each channel is read by two readers, each reader reads two channels.
        let channels = [names[reader].clone(), names[(reader + 1) % READERS].clone()];
        let (layer, received) = (layer.clone(), Arc::clone(&received));
        tasks.spawn(async move {
            loop {
                layer.receive(&channels).await.unwrap();
                received.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut writers = JoinSet::new();
    spawn_writers(&mut writers, &layer, &names, 4, EACH);
    join(writers).await;
    let arrived = async {
        while received.load(Ordering::Relaxed) < 4 * EACH {
            yield_now().await;
        }
    };
    timeout(LIMIT, arrived)
        .await
        .expect("a message lies there although its readers wait");
    tasks.abort_all();
}

/// A call is dropped by one thread while another one sends to it: whichever is first, the call
/// behind it in the line is told of the message.
#[test]
fn a_call_dropped_while_it_is_told_hides_nothing() {
    const ROUNDS: usize = 20_000;
    let layer = capacity(1);
    let channels = [channel("a"), channel("b")];
    let (begun, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                wait_for(&begun, round);
                now(layer.send(&channels[round % 2], number(1))).unwrap();
                sent.store(round, Ordering::Release);
            }
        });
        for round in 1..=ROUNDS {
            let mut dropped = Box::pin(layer.receive(&channels));
            let mut waiting = pin!(layer.receive(&channels));
            assert_eq!(poll(&mut dropped.as_mut()), None);
            let woken = Arc::new(AtomicBool::new(false));
            let waker = Arc::new(SetOnWake(Arc::clone(&woken))).into();
            assert_eq!(poll_with(&mut waiting, &waker), None);
            begun.store(round, Ordering::Release);
            // Now and then the message is there for certain when the call is dropped.
            if round % 10 == 0 {
                wait_for(&sent, round);
            }
            for _ in 0..round % 200 {
                std::hint::spin_loop();
            }
            drop(dropped);
            wait_for(&sent, round);
            assert!(woken.load(Ordering::Acquire), "round {round}");
            assert_eq!(poll(&mut waiting), Some(1));
        }
    });
}

struct SetOnWake(Arc<AtomicBool>);

impl Wake for SetOnWake {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Readers that give up at every stage of a call, next to one that never does and that alone is
/// left at the end of each round.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelled_receives_lose_nothing_and_hide_nothing() {
    const ROUNDS: usize = 500;
    const EACH: usize = 10;
    let layer = capacity(100);
    let channels = [channel("a"), channel("b")];
    let received = Arc::new(AtomicUsize::new(0));
    let mut patient = JoinSet::new();
    patient.spawn({
        let (layer, channels, received) = (layer.clone(), channels.clone(), Arc::clone(&received));
        async move {
            loop {
                layer.receive(&channels).await.unwrap();
                received.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for round in 1..=ROUNDS {
        let mut tasks = JoinSet::new();
        for reader in 0..3_usize {
            let (layer, channels) = (layer.clone(), channels.clone());
            let received = Arc::clone(&received);
            tasks.spawn(async move {
                for at in 0..EACH {
                    let given_up = async {
                        for _ in 0..(reader + at) % 4 {
                            yield_now().await;
                        }
                    };
                    tokio::select! {
                        biased;
                        () = given_up => {}
                        _ = layer.receive(&channels) => {
                            received.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        spawn_writers(&mut tasks, &layer, &channels, 2, EACH);
        join(tasks).await;
        let arrived = async {
            while received.load(Ordering::Relaxed) < round * 2 * EACH {
                yield_now().await;
            }
        };
        timeout(LIMIT, arrived)
            .await
            .expect("a message was lost or is hidden");
    }
    patient.abort_all();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_reader_gets_the_messages_of_each_writer_in_order() {
    const WRITERS: usize = 6;
    const EACH: usize = 3_000;
    for (to, from) in [
        ("single?reader", "single?reader"),
        ("process!local", "process!"),
    ] {
        let layer = capacity(20);
        let mut tasks = JoinSet::new();
        spawn_writers(&mut tasks, &layer, &[channel(to)], WRITERS, EACH);
        tasks.spawn(async move {
            let channels = [channel(from)];
            let mut next: HashMap<i64, i64> = HashMap::new();
            for _ in 0..WRITERS * EACH {
                let (_, message) = layer.receive(&channels).await.unwrap();
                let (writer, at) = identity(&message);
                let next = next.entry(writer).or_default();
                assert_eq!(at, *next, "of writer {writer} on {to}");
                *next += 1;
            }
        });
        join(tasks).await;
    }
}

/// Messages expire, members come and go, channels are forgotten while others use them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn groups_and_channels_that_come_and_go_stay_consistent() {
    let config = LayerConfig::new()
        .expiry(Duration::from_millis(20))
        .capacity(5);
    let layer = InMemoryChannelLayer::with_config(config);
    let mut tasks = JoinSet::new();
    for task in 0..4 {
        let layer = layer.clone();
        tasks.spawn(async move {
            for round in 0..3_000 {
                let name = group(&format!("g{}", round % 7));
                let member = channel(&format!("process{}!{task}", round % 3));
                layer.group_add(&name, &member).await.unwrap();
                layer.send_group(&name, number(round)).await.unwrap();
                let _ = layer
                    .send(&channel(&format!("body?{}", round % 50)), number(round))
                    .await;
                if round % 2 == 0 {
                    drain(&layer, &[member.to_non_local()]).await;
                }
                layer.group_discard(&name, &member).await.unwrap();
                let members = layer.group_channels(&name).await.unwrap();
                assert!(!members.contains(&member), "it was discarded");
                if round % 100 == 0 {
                    yield_now().await;
                }
            }
        });
    }
    join(tasks).await;
    for at in 0..7 {
        assert!(
            layer
                .group_channels(&group(&format!("g{at}")))
                .await
                .unwrap()
                .is_empty()
        );
    }
    let forgotten = async {
        while layer.channel_count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, forgotten)
        .await
        .expect("something refers to a channel for ever");
}
