//! How many consumers run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asgiref::{InMemoryChannelLayer, Message};
use channels::{Context, Outcome, Router, Worker, route};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::common::{Running, echo, next_reply};
use crate::support::{frame, send, small_layer, worker};

/// Consumers that say how many of them run, and wait to be let go.
#[derive(Default)]
struct Crowd {
    running: AtomicUsize,
    most: AtomicUsize,
    came: Notify,
}

async fn crowded(concurrency: usize, messages: usize, expected: usize) -> usize {
    let layer = small_layer(1000);
    let (crowd, gate) = (Arc::new(Crowd::default()), Arc::new(Semaphore::new(0)));
    let consumer = {
        let (crowd, gate) = (Arc::clone(&crowd), Arc::clone(&gate));
        move || {
            let (crowd, gate) = (Arc::clone(&crowd), Arc::clone(&gate));
            async move {
                let running = crowd.running.fetch_add(1, Ordering::SeqCst) + 1;
                crowd.most.fetch_max(running, Ordering::SeqCst);
                crowd.came.notify_one();
                drop(gate.acquire().await);
                crowd.running.fetch_sub(1, Ordering::SeqCst);
            }
        }
    };
    let worker = Worker::builder(layer.clone(), Router::new().route(route("work", consumer)))
        .concurrency(concurrency)
        .build()
        .unwrap();
    let running = Running::start(&worker);
    for _ in 0..messages {
        send(&*layer, "work", Message::new()).await;
    }
    let reached = async {
        while crowd.running.load(Ordering::SeqCst) < expected {
            crowd.came.notified().await;
        }
    };
    timeout(Duration::from_secs(30), reached)
        .await
        .expect("so many consumers");
    gate.add_permits(messages);
    while worker.statistics().messages < messages as u64 {
        tokio::task::yield_now().await;
    }
    running.stop().await.unwrap();
    assert_eq!(worker.statistics().busy, 0);
    crowd.most.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_consumers_wait_at_once_as_allowed_and_no_more() {
    assert_eq!(crowded(1, 10, 1).await, 1);
    assert_eq!(crowded(5, 50, 5).await, 5);
    assert_eq!(crowded(128, 300, 128).await, 128);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_concurrency_of_one_messages_are_consumed_in_order() {
    async fn consumer(cx: Context) -> Outcome {
        tokio::task::yield_now().await;
        echo(cx).await
    }
    let layer = small_layer(1000);
    let worker = Worker::builder(
        layer.clone(),
        Router::new().route(route("websocket.receive", consumer)),
    )
    .concurrency(1)
    .build()
    .unwrap();
    let running = Running::start(&worker);
    let sent: Vec<_> = (0..500).map(|i| i.to_string()).collect();
    for text in &sent {
        send(&*layer, "websocket.receive", frame(text)).await;
    }
    for text in &sent {
        assert_eq!(next_reply(&*layer).await.text("text").unwrap(), text);
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_or_consumed_twice_when_many_are_there() {
    let layer = Arc::new(InMemoryChannelLayer::with_config(
        asgiref::LayerConfig::new().capacity(20_000),
    ));
    let worker = worker(
        &layer,
        Router::new().route(route("websocket.receive", echo)),
    );
    let running = Running::start(&worker);
    for i in 0..10_000 {
        send(&*layer, "websocket.receive", frame(&i.to_string())).await;
    }
    let mut seen = vec![false; 10_000];
    for _ in 0..10_000 {
        let reply = next_reply(&*layer).await;
        let i: usize = reply.text("text").unwrap().parse().unwrap();
        assert!(!std::mem::replace(&mut seen[i], true), "{i} twice");
    }
    running.stop().await.unwrap();
    assert_eq!(worker.statistics().messages, 10_000);
}
