//! Messages that are to be consumed later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asgiref::message;
use asgiref::protocol::websocket;
use channels::{ConsumerError, ErrorReport, Router, Worker, route};
use tokio::time::Instant;

use crate::common::{LONG, Running, echo, later, next_reply, statuses};
use crate::support::{REPLY, drain, frame, layer, replies, send};

#[tokio::test(start_paused = true)]
async fn a_message_is_tried_ever_later_and_dropped_after_ten_retries() {
    let layer = layer();
    let router = Router::new().route(route("websocket.receive", later));
    let reports = Arc::new(AtomicUsize::new(0));
    let worker = Worker::builder(layer.clone(), router)
        .on_error({
            let reports = Arc::clone(&reports);
            move |report: &ErrorReport<'_>| {
                assert!(matches!(report.error, ConsumerError::ConsumeLater));
                assert_eq!(*report.channel, websocket::RECEIVE);
                reports.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build()
        .unwrap();
    let running = Running::start(&worker);
    let start = Instant::now();
    send(&*layer, "websocket.receive", frame("x")).await;
    while worker.statistics().dead == 0 {
        assert!(start.elapsed() < LONG);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // 50 ms doubled nine times, at most 5 s, each shortened by up to a half.
    let elapsed = start.elapsed().as_secs_f64();
    assert!((9.0..=21.5).contains(&elapsed), "{elapsed}");
    let statistics = worker.statistics();
    assert_eq!((statistics.messages, statistics.retries), (11, 10));
    assert_eq!((statistics.dead, statistics.errors), (1, 0));
    assert_eq!(reports.load(Ordering::Relaxed), 1);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_a_message_waits_others_are_consumed() {
    let layer = layer();
    let router = Router::new()
        .route(route("websocket.receive", later).filter("text", "later"))
        .route(route("websocket.receive", echo));
    let worker = Worker::builder(layer.clone(), router)
        .concurrency(1)
        .retry_delay(Duration::from_secs(600))
        .build()
        .unwrap();
    let running = Running::start(&worker);
    let start = Instant::now();
    send(&*layer, "websocket.receive", frame("later")).await;
    send(&*layer, "websocket.receive", frame("now")).await;
    assert_eq!(next_reply(&*layer).await.text("text").unwrap(), "now");
    assert!(start.elapsed() < Duration::from_secs(1));

    // When the worker stops, the message is put back for another one.
    running.stop().await.unwrap();
    let mut waiting = frame("later");
    waiting.insert("__retries__", 1);
    assert_eq!(drain(&*layer, "websocket.receive").await, [waiting]);
}

#[tokio::test]
async fn a_request_that_is_put_off_too_often_gets_503() {
    let layer = layer();
    let worker = Worker::builder(
        layer.clone(),
        Router::new().route(route("http.request", later)),
    )
    .message_retries(1)
    .build()
    .unwrap();
    send(
        &*layer,
        "http.request",
        message! { "reply_channel" => REPLY },
    )
    .await;
    while worker.run_once().await.unwrap() {}
    assert_eq!(statuses(&replies(&*layer).await), [503]);
}
