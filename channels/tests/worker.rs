//! What a worker does with messages, errors and being told to stop.

mod support;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use asgiref::protocol::{http, websocket};
use asgiref::{
    ChannelLayer, ChannelName, ChannelPattern, Extension, InMemoryChannelLayer, Message, message,
};
use async_trait::async_trait;
use channels::{
    ConsumerError, Context, Error, ErrorReport, Outcome, Router, Worker, WorkerBuilder, route, sync,
};
use serde_json::Value as Json;
use support::{
    REPLY, drain, frame, layer, message_from, name, replies, send, small_layer, texts, vectors,
    worker,
};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Far beyond anything these tests wait for.
const LONG: Duration = Duration::from_secs(3600);

fn failing() -> ConsumerError {
    ConsumerError::failed("it went wrong")
}

async fn later() -> Outcome {
    Err(ConsumerError::ConsumeLater)
}

async fn echo(cx: Context) -> Outcome {
    cx.reply(message! { "text" => cx.message().text("text")?.clone() });
    Ok(())
}

/// A worker that runs until it is told to stop.
struct Running {
    task: JoinHandle<channels::Result<()>>,
    stop: oneshot::Sender<()>,
}

impl Running {
    fn start(worker: &Worker) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = worker.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            worker.run(stopped).await
        });
        Self { task, stop }
    }

    async fn stop(self) -> channels::Result<()> {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}

/// The next message for the client; waits for it.
async fn next_reply(layer: &dyn ChannelLayer) -> Message {
    let channels = [name("client!")];
    let received = timeout(LONG, layer.receive(&channels)).await;
    received.expect("a reply").unwrap().1
}

// ---- Recorded cases of the original

#[test]
fn channels_are_chosen_as_recorded() {
    let all = [
        "http.request",
        "http.disconnect",
        "websocket.connect",
        "websocket.receive",
        "websocket.disconnect",
        "thumb",
        "Thumb",
        "a.b",
    ];
    let globs = |list: &Json| -> Vec<String> {
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|glob| glob.as_str().unwrap().to_owned())
            .collect()
    };
    let mut cases = 0;
    for vector in vectors("ch_worker_filters") {
        let built = Worker::builder(layer(), Router::new().route(route(all, echo)))
            .only_channels(globs(&vector["only"]))
            .exclude_channels(globs(&vector["exclude"]))
            .build();
        let mut expected = globs(&vector["result"]);
        expected.sort();
        match built {
            Ok(worker) => {
                let channels: Vec<_> = worker.channels().iter().map(ToString::to_string).collect();
                assert_eq!(channels, expected, "{vector}");
            }
            // The original idles on an empty list; this is an error here.
            Err(Error::NoChannels { .. }) => assert!(expected.is_empty(), "{vector}"),
            Err(other) => panic!("{vector}: {other}"),
        }
        cases += 1;
    }
    assert_eq!(cases, 9);
}

/// The consumers of the recorded cases, by the name of the case.
fn recorded_router(case: &str) -> Router {
    async fn boom(cx: Context) {
        cx.reply(message! { "text" => "before" });
        panic!("boom");
    }
    async fn deny(cx: Context) -> Outcome {
        cx.reply(message! { "text" => "q" });
        Err(ConsumerError::DenyConnection)
    }
    async fn close() -> Outcome {
        Err(ConsumerError::CloseConnection { code: 4001 })
    }
    async fn later(cx: Context) -> Outcome {
        cx.reply(message! { "text" => "sent even though later" });
        Err(ConsumerError::ConsumeLater)
    }
    async fn doomed(cx: Context) {
        assert_eq!(cx.is_last_attempt(), cx.retries() == 10);
    }
    async fn full(cx: Context) -> Outcome {
        for i in 0..4 {
            cx.channel("full")?.send(message! { "i" => i });
        }
        Ok(())
    }
    let routes = Router::new();
    let channels = ["websocket.receive", "websocket.connect"];
    match case {
        "echo" => {
            async fn echo(cx: Context) {
                cx.reply(message! { "text" => "x" });
            }
            routes.route(route(channels, echo))
        }
        "exception after send still flushes" => routes.route(route(channels, boom)),
        "DenyConnection on websocket.connect" | "DenyConnection on other channel kills worker" => {
            routes.route(route(channels, deny))
        }
        "WebsocketCloseException, daphne-style reply channel"
        | "WebsocketCloseException, websocket.* reply channel" => {
            routes.route(route(channels, close))
        }
        "ConsumeLater once" | "ConsumeLater at __retries__=10" => {
            routes.route(route(channels, later))
        }
        "ConsumeLater 12 loops (limit 10)" => routes.route(route(channels, super_later)),
        "doomed flag at 10" | "doomed flag at 9" => routes.route(route(channels, doomed)),
        "pending send to a full channel: retried 2 s every 0.2 s then RuntimeError escapes" => {
            routes.route(route(channels, full))
        }
        unknown => panic!("no consumer for {unknown:?}"),
    }
}

async fn super_later() -> Outcome {
    Err(ConsumerError::ConsumeLater)
}

/// Cases in which the original's worker died. Ours goes on, and what is on the channels
/// afterwards may differ: the message that is named, in place of the recorded ones.
fn deviation(case: &str) -> Option<(&'static str, Message)> {
    match case {
        // The exception for closing works with daphne's reply channels, too.
        "WebsocketCloseException, daphne-style reply channel" => {
            Some(("daphne.response.abc!", message! { "close" => 4001 }))
        }
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_dealt_with_as_recorded() {
    let mut cases = 0;
    for vector in vectors("ch_worker_cases") {
        let case = vector["name"].as_str().unwrap();
        // Tested below: the recorded worker listened on a channel without routes.
        if case == "no matching route" {
            continue;
        }
        let capacity = if case.starts_with("pending send") {
            2
        } else {
            100
        };
        let layer = small_layer(capacity);
        let worker = worker(&layer, recorded_router(case));
        let channel = vector["channel"].as_str().unwrap();
        send(&*layer, channel, message_from(&vector["content"])).await;
        for _ in 0..vector["loops"].as_u64().unwrap() {
            worker.run_once().await.unwrap();
        }
        let mut after: BTreeMap<String, Vec<Message>> = BTreeMap::new();
        for (channel, messages) in vector["after"].as_object().unwrap() {
            let messages = messages.as_array().unwrap().iter();
            let messages = messages.map(|message| message_from(&message[1])).collect();
            after.insert(channel.clone(), messages);
        }
        if let Some((channel, message)) = deviation(case) {
            after.insert(channel.to_owned(), vec![message]);
        }
        for (channel, expected) in after {
            assert_eq!(
                drain(&*layer, &channel).await,
                expected,
                "{case}: {channel}"
            );
        }
        // In every case the worker is alive.
        send(&*layer, channel, message! { "reply_channel" => REPLY }).await;
        assert!(worker.run_once().await.unwrap(), "{case}");
        cases += 1;
    }
    assert_eq!(cases, 12);
}

// ---- Nothing ends a worker

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

/// A layer whose `receive` fails a number of times.
struct Failing {
    layer: InMemoryChannelLayer,
    failures: AtomicU32,
}

#[async_trait]
impl ChannelLayer for Failing {
    async fn send(&self, channel: &ChannelName, message: Message) -> asgiref::Result<()> {
        self.layer.send(channel, message).await
    }

    async fn receive(&self, channels: &[ChannelName]) -> asgiref::Result<(ChannelName, Message)> {
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(asgiref::Error::backend("failing", "the line is dead"));
        }
        self.layer.receive(channels).await
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> asgiref::Result<Option<(ChannelName, Message)>> {
        self.layer.try_receive(channels).await
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> asgiref::Result<ChannelName> {
        self.layer.new_channel(pattern).await
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

fn failing_layer(failures: u32) -> Arc<Failing> {
    Arc::new(Failing {
        layer: InMemoryChannelLayer::new(),
        failures: AtomicU32::new(failures),
    })
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

// ---- Consuming later

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

// ---- Answers in the place of consumers

fn statuses(replies: &[Message]) -> Vec<i64> {
    replies
        .iter()
        .map(|reply| reply.int("status").unwrap())
        .collect()
}

/// What a client gets if the consumer of its message on `channel` does this.
async fn answers<C, Args>(channel: &str, consumer: C) -> Vec<Message>
where
    C: channels::Consumer<Args>,
    Args: 'static,
{
    let layer = layer();
    let worker = worker(&layer, Router::new().route(route(channel, consumer)));
    send(&*layer, channel, frame("x")).await;
    worker.run_once().await.unwrap();
    replies(&*layer).await
}

#[tokio::test]
async fn a_request_whose_consumer_fails_gets_an_error_status() {
    async fn fails() -> Outcome {
        Err(failing())
    }
    async fn panics() {
        panic!("oh no");
    }
    async fn refuses() -> Outcome {
        Err(ConsumerError::invalid_message("what is this?"))
    }
    async fn denies() -> Outcome {
        Err(ConsumerError::DenyConnection)
    }
    for (replies, status) in [
        (answers("http.request", fails).await, 500),
        (answers("http.request", panics).await, 500),
        (answers("http.request", denies).await, 500),
        (answers("http.request", refuses).await, 400),
    ] {
        assert_eq!(replies.len(), 1);
        let response = http::Response::try_from(&replies[0]).unwrap();
        assert_eq!(response.status, Some(status));
        assert!(!response.more_content && !response.closed);
    }
}

#[tokio::test]
async fn a_client_whose_message_has_no_route_is_refused() {
    async fn nothing() {}
    let router = Router::new().route(
        route(
            ["http.request", "websocket.connect", "websocket.receive"],
            nothing,
        )
        .path("/other/"),
    );
    let layer = layer();
    let worker = worker(&layer, router);
    for (channel, status) in [("http.request", 404), ("websocket.receive", 0)] {
        send(&*layer, channel, frame("x")).await;
        worker.run_once().await.unwrap();
        let expected = if status == 0 { vec![] } else { vec![status] };
        assert_eq!(statuses(&replies(&*layer).await), expected);
    }
    send(&*layer, "websocket.connect", frame("x")).await;
    worker.run_once().await.unwrap();
    assert_eq!(replies(&*layer).await, [message! { "accept" => false }]);
    // And one with nobody to tell.
    send(&*layer, "http.request", Message::new()).await;
    worker.run_once().await.unwrap();
    assert_eq!(worker.statistics().unroutable, 4);
}

#[tokio::test]
async fn a_response_that_was_begun_is_broken_off() {
    async fn consumer(cx: Context) -> Outcome {
        let mut response = http::Response::new(200, "begin");
        response.more_content = true;
        cx.reply_immediately(response).await?;
        Err(failing())
    }
    let replies = answers("http.request", consumer).await;
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[1], Message::from(http::Response::aborted()));
}

#[tokio::test]
async fn a_request_that_is_answered_gets_no_second_answer() {
    async fn complete(cx: Context) -> Outcome {
        cx.reply(http::Response::new(200, "all"));
        Err(failing())
    }
    async fn somebody_else(cx: Context) -> Outcome {
        cx.answer_later();
        Err(failing())
    }
    async fn succeeds() {}
    assert_eq!(statuses(&answers("http.request", complete).await), [200]);
    assert_eq!(answers("http.request", somebody_else).await, []);
    // Long polling: the answer may come from anywhere, any time.
    assert_eq!(answers("http.request", succeeds).await, []);
}

#[tokio::test]
async fn a_connection_whose_consumer_succeeds_is_accepted_before_anything_else() {
    async fn silent() {}
    async fn greets(cx: Context) -> Outcome {
        cx.group("chat")?.add(cx.reply_channel()?).await?;
        cx.group("chat")?
            .send(message! { "text" => "somebody came" });
        Ok(())
    }
    let accept = message! { "accept" => true };
    assert_eq!(
        answers("websocket.connect", silent).await[..],
        *std::slice::from_ref(&accept)
    );
    assert_eq!(
        answers("websocket.connect", greets).await,
        [accept, message! { "text" => "somebody came" }]
    );
}

#[tokio::test]
async fn a_connection_is_not_accepted_if_its_consumer_decided_otherwise() {
    async fn accepts(cx: Context) {
        cx.accept();
    }
    async fn closes(cx: Context) {
        cx.close(4000);
    }
    async fn replies_at_once(cx: Context) -> channels::Result<()> {
        cx.reply_immediately(message! { "accept" => true, "text" => "hi" })
            .await
    }
    async fn leaves_it_to_others(cx: Context) {
        cx.answer_later();
    }
    let connect = "websocket.connect";
    assert_eq!(
        answers(connect, accepts).await,
        [message! { "accept" => true }]
    );
    assert_eq!(
        answers(connect, closes).await,
        [message! { "close" => 4000 }]
    );
    assert_eq!(
        answers(connect, replies_at_once).await,
        [message! { "accept" => true, "text" => "hi" }]
    );
    assert_eq!(answers(connect, leaves_it_to_others).await, []);
}

#[tokio::test]
async fn a_connection_whose_consumer_fails_is_rejected_or_closed() {
    async fn fails() -> Outcome {
        Err(failing())
    }
    async fn closes() -> Outcome {
        Err(ConsumerError::CloseConnection { code: 4001 })
    }
    async fn accepts_and_fails(cx: Context) -> Outcome {
        cx.accept();
        Err(failing())
    }
    let connect = "websocket.connect";
    assert_eq!(
        answers(connect, fails).await,
        [message! { "close" => true }]
    );
    assert_eq!(
        answers(connect, closes).await,
        [message! { "close" => 4001 }]
    );
    assert_eq!(
        answers(connect, accepts_and_fails).await,
        [message! { "accept" => true }, message! { "close" => 1011 }]
    );
}

#[tokio::test]
async fn a_frame_whose_consumer_fails_closes_the_connection_only_if_configured() {
    async fn fails() -> Outcome {
        Err(failing())
    }
    assert_eq!(answers("websocket.receive", fails).await, []);
    let layer = layer();
    let router = Router::new().route(route("websocket.receive", fails));
    let worker = Worker::builder(layer.clone(), router)
        .close_on_error(Some(1011))
        .build()
        .unwrap();
    send(&*layer, "websocket.receive", frame("x")).await;
    worker.run_once().await.unwrap();
    assert_eq!(replies(&*layer).await, [message! { "close" => 1011 }]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_takes_too_long_is_given_up() {
    async fn never() {
        std::future::pending::<()>().await;
    }
    let layer = layer();
    let worker = Worker::builder(
        layer.clone(),
        Router::new().route(route("http.request", never)),
    )
    .consumer_timeout(Some(Duration::from_secs(30)))
    .build()
    .unwrap();
    send(&*layer, "http.request", frame("x")).await;
    let start = Instant::now();
    worker.run_once().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert_eq!(statuses(&replies(&*layer).await), [500]);
}

// ---- How many at once

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

// ---- Stopping

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

// ---- Settings

#[test]
fn settings_that_cannot_work_are_refused() {
    let builder =
        || -> WorkerBuilder { Worker::builder(layer(), Router::new().route(route("test", echo))) };
    let refused = |builder: WorkerBuilder| builder.build().unwrap_err().to_string();
    assert_eq!(
        refused(Worker::builder(layer(), Router::new())),
        "no channels to listen on: there are no routes"
    );
    assert_eq!(
        refused(builder().only_channels(["http.*"])),
        "no channels to listen on: only channels [\"http.*\"] without [] leaves none of those \
         with routes (test)"
    );
    assert_eq!(
        refused(builder().concurrency(0)),
        "concurrency: must be at least 1"
    );
    let local = Router::new().route(route("service!part", echo));
    assert!(refused(Worker::builder(layer(), local)).starts_with("invalid channel name"));
    let layer = failing_layer(0);
    let router = Router::new().route(route("test", echo));
    assert_eq!(
        refused(Worker::builder(layer, router).require([Extension::Groups])),
        "Failing does not provide the groups extension"
    );
    assert!(builder().require([Extension::Groups]).build().is_ok());
}

#[tokio::test]
async fn the_given_functions_are_told() {
    async fn fails() -> Outcome {
        Err(failing())
    }
    let layer = layer();
    let (ready, messages) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let worker = Worker::builder(layer.clone(), Router::new().route(route("test", fails)))
        .on_ready({
            let ready = Arc::clone(&ready);
            move || ready.notify_one()
        })
        .on_message({
            let messages = Arc::clone(&messages);
            move |channel, message| {
                assert_eq!(channel, &name("test"));
                assert_eq!(message, &message! { "a" => 1 });
                messages.fetch_add(1, Ordering::Relaxed);
            }
        })
        .on_error(|report| {
            assert!(report.consumer.ends_with("fails"), "{}", report.consumer);
            assert_eq!(report.message, &message! { "a" => 1 });
            assert_eq!(report.error.to_string(), "it went wrong");
            // Not even this ends the worker.
            panic!("an error reporter with an error");
        })
        .build()
        .unwrap();
    let running = Running::start(&worker);
    ready.notified().await;
    for _ in 0..5 {
        send(&*layer, "test", message! { "a" => 1 }).await;
    }
    while messages.load(Ordering::Relaxed) < 5 {
        tokio::task::yield_now().await;
    }
    running.stop().await.unwrap();
    assert_eq!(worker.statistics().errors, 5);
}
