//! Answers in the place of consumers.

use std::time::Duration;

use asgiref::protocol::http;
use asgiref::{Message, message};
use channels::{ConsumerError, Context, Outcome, Router, Worker, route};
use tokio::time::Instant;

use crate::common::{failing, statuses};
use crate::support::{REPLY, frame, layer, replies, send, small_layer, worker};

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

#[tokio::test(start_paused = true)]
async fn a_socket_is_accepted_although_its_reply_channel_was_full_for_a_while() {
    const CROWD: usize = 20;
    async fn connected() {}
    let layer = small_layer(CROWD);
    let worker = worker(
        &layer,
        Router::new().route(route("websocket.connect", connected)),
    );
    for _ in 0..CROWD {
        send(&*layer, REPLY, message! { "text" => "news" }).await;
    }
    send(&*layer, "websocket.connect", frame("x")).await;
    let reader = layer.clone();
    // As slow a protocol server as there may be before it gives the client up itself.
    let reading = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(4_500)).await;
        replies(&*reader).await.len()
    });
    assert!(worker.run_once().await.unwrap());
    assert_eq!(reading.await.unwrap(), CROWD);
    assert_eq!(replies(&*layer).await, [message! { "accept" => true }]);
    assert_eq!(worker.statistics().dropped_sends, 0);
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
