//! What does not end a worker.

use std::time::Duration;

use asgiref::message;
use channels::{Context, Outcome, Router, Worker, route, sync};
use tokio::time::Instant;

use crate::common::{Running, echo, failing, failing_layer, next_reply};
use crate::support::{drain, frame, layer, replies, send, small_layer, texts, worker};

#[tokio::test]
async fn panics_errors_and_messages_without_a_route_do_not_end_it() {
    async fn early_panic(_cx: Context) {
        panic!("early");
    }
    async fn late_panic() {
        tokio::task::yield_now().await;
        panic!("late");
    }
    fn blocking_panic() {
        panic!("blocking");
    }
    async fn fails() -> Outcome {
        Err(failing())
    }
    let router = Router::new()
        .route(route("websocket.receive", early_panic).filter("text", "early"))
        .route(route("websocket.receive", late_panic).filter("text", "late"))
        .route(route("websocket.receive", sync(blocking_panic)).filter("text", "blocking"))
        .route(route("websocket.receive", fails).filter("text", "fails"))
        .route(route("websocket.receive", echo).filter("text", "echo"));
    let layer = layer();
    let worker = worker(&layer, router);
    let running = Running::start(&worker);
    for text in ["early", "late", "blocking", "fails", "nobody", "echo"] {
        send(&*layer, "websocket.receive", frame(text)).await;
    }
    assert_eq!(next_reply(&*layer).await.text("text").unwrap(), "echo");
    running.stop().await.unwrap();
    let statistics = worker.statistics();
    assert_eq!((statistics.messages, statistics.busy), (6, 0));
    assert_eq!((statistics.errors, statistics.unroutable), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_channel_costs_its_messages_and_a_limited_time() {
    async fn consumer(cx: Context) -> Outcome {
        for i in 0..3 {
            cx.channel("full")?.send(message! { "i" => i });
        }
        cx.reply(message! { "text" => "sent all the same" });
        Ok(())
    }
    let layer = small_layer(1);
    let router = Router::new().route(route("websocket.receive", consumer));
    let worker = Worker::builder(layer.clone(), router)
        .send_timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    send(&*layer, "websocket.receive", frame("x")).await;
    let start = Instant::now();
    worker.run_once().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(texts(&replies(&*layer).await), ["sent all the same"]);
    assert_eq!(drain(&*layer, "full").await, [message! { "i" => 0 }]);
    assert_eq!(worker.statistics().dropped_sends, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_channel_gets_its_message_when_there_is_room() {
    async fn consumer(cx: Context) -> Outcome {
        cx.channel("full")?.send(message! { "i" => 2 });
        Ok(())
    }
    let layer = small_layer(1);
    send(&*layer, "full", message! { "i" => 1 }).await;
    send(&*layer, "websocket.receive", frame("x")).await;
    let worker = worker(
        &layer,
        Router::new().route(route("websocket.receive", consumer)),
    );
    let consumed = tokio::spawn(async move { worker.run_once().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(drain(&*layer, "full").await, [message! { "i" => 1 }]);
    assert!(consumed.await.unwrap().unwrap());
    assert_eq!(drain(&*layer, "full").await, [message! { "i" => 2 }]);
}

#[tokio::test(start_paused = true)]
async fn when_the_layer_fails_the_worker_tries_again_ever_less_often() {
    let layer = failing_layer(12);
    let router = Router::new().route(route("websocket.receive", echo));
    let worker = Worker::builder(layer.clone(), router)
        .concurrency(1)
        .build()
        .unwrap();
    let start = Instant::now();
    let running = Running::start(&worker);
    send(&*layer, "websocket.receive", frame("hello")).await;
    assert_eq!(
        next_reply(&layer.layer).await.text("text").unwrap(),
        "hello"
    );
    // 0.1 + 0.2 + .. + 3.2 s, then 6 times 5 s, each shortened by up to a half.
    let elapsed = start.elapsed().as_secs_f64();
    assert!((18.1..=36.4).contains(&elapsed), "{elapsed}");
    assert_eq!(worker.statistics().layer_errors, 12);
    running.stop().await.unwrap();
}
