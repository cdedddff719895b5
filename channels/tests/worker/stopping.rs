//! Being told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asgiref::Message;
use channels::{Context, Error, Outcome, Router, Worker, route};
use tokio::time::Instant;

use crate::common::{Running, echo};
use crate::support::{drain, frame, layer, replies, send, small_layer, texts, worker};

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_told_to_stop_ends_what_it_has_in_hand() {
    async fn slow(cx: Context) -> Outcome {
        tokio::time::sleep(Duration::from_secs(5)).await;
        echo(cx).await
    }
    let layer = layer();
    let worker = worker(
        &layer,
        Router::new().route(route("websocket.receive", slow)),
    );
    let running = Running::start(&worker);
    send(&*layer, "websocket.receive", frame("in hand")).await;
    while worker.statistics().busy == 0 {
        tokio::task::yield_now().await;
    }
    running.stop().await.unwrap();
    send(&*layer, "websocket.receive", frame("too late")).await;
    assert_eq!(texts(&replies(&*layer).await), ["in hand"]);
    let left = drain(&*layer, "websocket.receive").await;
    assert_eq!(texts(&left), ["too late"]);
}

#[tokio::test(start_paused = true)]
async fn consumers_that_do_not_end_are_given_up_after_the_grace_period() {
    async fn never() {
        std::future::pending::<()>().await;
    }
    let layer = layer();
    let router = Router::new().route(route("websocket.receive", never));
    let worker = Worker::builder(layer.clone(), router)
        .grace_period(Duration::from_secs(7))
        .build()
        .unwrap();
    let running = Running::start(&worker);
    for _ in 0..3 {
        send(&*layer, "websocket.receive", frame("x")).await;
    }
    while worker.statistics().busy < 3 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    let error = running.stop().await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(7));
    assert!(
        matches!(error, Error::StillRunning { busy: 3, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_idle_worker_stops_at_once() {
    let layer = layer();
    let worker = worker(
        &layer,
        Router::new().route(route("websocket.receive", echo)),
    );
    for _ in 0..3 {
        let running = Running::start(&worker);
        tokio::task::yield_now().await;
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_lies_in_a_layer_that_ends_with_the_process_is_consumed_before_the_stop() {
    let layer = small_layer(1000);
    let consumed = Arc::new(AtomicUsize::new(0));
    let consumer = {
        let consumed = Arc::clone(&consumed);
        move || {
            let consumed = Arc::clone(&consumed);
            async move {
                tokio::task::yield_now().await;
                consumed.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    for _ in 0..1000 {
        send(&*layer, "work", Message::new()).await;
    }
    let worker = Worker::builder(layer, Router::new().route(route("work", consumer)))
        .concurrency(4)
        .build()
        .unwrap();
    worker.run(std::future::ready(())).await.unwrap();
    assert_eq!(consumed.load(Ordering::SeqCst), 1000);
}
