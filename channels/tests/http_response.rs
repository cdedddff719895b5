//! What a client gets of a service's response.
#![allow(missing_docs, reason = "tests are named for the rule they check")]

mod http_support;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asgiref::protocol::http::{CHUNK_SIZE, Response as ResponsePart};
use asgiref::{Bytes, ChannelLayer as _, ChannelName, GroupName, Groups as _};
use asgiref::{InMemoryChannelLayer, LayerConfig, message};
use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Extension;
use axum::response::sse::{Event, Sse};
use axum::routing::get as on_get;
use channels::http::{
    AsgiHandler, AsgiRequest, Body, HttpReplyChannel, ResponseLater, encode_response, respond,
};
use channels::{Consumer, Context, Outcome};
use futures_util::stream;
use http::{Request, Response};
use http_support::{REPLY_CHANNEL, Site, get};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

#[tokio::test]
async fn a_small_response_is_one_message() {
    let router = Router::new().route("/", on_get(|| async { "hello" }));
    let site = Site::new(AsgiHandler::new(router));
    site.consume(get("/")).await;
    let replies = site.replies().await;
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].status, Some(200));
    assert_eq!(replies[0].content, "hello");
    assert_eq!(
        replies[0].headers.get("content-length").expect("a length"),
        "5"
    );
    assert!(!replies[0].more_content);
}

#[tokio::test]
async fn a_large_response_comes_in_chunks() {
    let content = Bytes::from_iter((0..3_000_000_u32).map(|number| number as u8));
    let whole = content.clone();
    let router = Router::new().route("/", on_get(|| async { whole }));
    let site = Site::new(AsgiHandler::new(router));
    site.consume(get("/")).await;
    let replies = site.replies().await;
    assert_eq!(replies.len(), 6);
    assert!(replies.iter().all(|part| part.content.len() <= CHUNK_SIZE));
    let more: Vec<_> = replies.iter().map(|part| part.more_content).collect();
    assert_eq!(more, [true, true, true, true, true, false]);
    let received: Vec<_> = replies
        .iter()
        .flat_map(|part| part.content.clone())
        .collect();
    assert!(received == content);
}

#[tokio::test]
async fn events_arrive_as_they_happen() {
    let (events, receiver) = mpsc::channel::<&'static str>(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let router = Router::new().route(
        "/events",
        on_get(move || async move {
            Sse::new(stream::unfold(receiver, |receiver| async move {
                let event = receiver.lock().await.recv().await?;
                Some((Ok::<_, Infallible>(Event::default().data(event)), receiver))
            }))
        }),
    );
    let site = Site::new(AsgiHandler::new(router));
    let client = async {
        let head = site.reply().await;
        assert_eq!((head.status, head.content.len()), (Some(200), 0));
        assert_eq!(
            head.headers.get("content-type").expect("a type"),
            "text/event-stream"
        );
        for event in ["one", "two"] {
            events.send(event).await.expect("a stream");
            let part = site.reply().await;
            assert_eq!(
                part,
                ResponsePart::chunk(format!("data: {event}\n\n"), true)
            );
        }
        drop(events);
        assert_eq!(site.reply().await, ResponsePart::chunk("", false));
    };
    tokio::join!(site.consume(get("/events")), client);
}

#[tokio::test]
async fn a_service_that_fails_or_panics_is_answered_500() {
    let failing = tower::service_fn(|request: Request<Body>| async move {
        assert_ne!(request.uri().path(), "/panic", "as asked");
        Err::<Response<String>, _>(io::Error::other("no response"))
    });
    let site = Site::new(AsgiHandler::new(failing));
    for path in ["/error", "/panic"] {
        assert_eq!(site.text(get(path)).await.0, 500, "{path}");
    }
    let router = Router::new().route(
        "/",
        on_get(|| async {
            if true {
                panic!("as asked");
            }
        }),
    );
    let site = Site::new(AsgiHandler::new(router));
    assert_eq!(site.text(get("/")).await.0, 500);
    assert_eq!(site.worker.statistics().errors, 1);
}

/// A response whose body ends with an error after `parts` parts.
fn broken(parts: usize) -> Router {
    Router::new().route(
        "/",
        on_get(move || async move {
            let parts = (0..=parts).map(move |part| match part {
                part if part < parts => Ok("part"),
                _ => Err(io::Error::other("the disk is gone")),
            });
            AxumBody::from_stream(stream::iter(parts))
        }),
    )
}

#[tokio::test]
async fn a_body_that_fails_before_the_status_is_sent_is_answered_500() {
    let site = Site::new(AsgiHandler::new(broken(0)));
    assert_eq!(site.text(get("/")).await.0, 500);
}

#[tokio::test]
async fn a_body_that_fails_later_breaks_the_response_off() {
    let site = Site::new(AsgiHandler::new(broken(2)));
    site.consume(get("/")).await;
    let replies = site.replies().await;
    assert_eq!(replies.len(), 3);
    assert_eq!(replies[0].status, Some(200));
    assert_eq!(replies[1], ResponsePart::chunk("part", true));
    assert_eq!(replies[2], ResponsePart::aborted());
    assert_eq!(site.worker.statistics().errors, 1);
}

#[tokio::test(start_paused = true)]
async fn a_response_waits_for_room_on_the_reply_channel() {
    let layer = InMemoryChannelLayer::with_config(LayerConfig::default().capacity(1));
    let router = Router::new().route(
        "/",
        on_get(|| async {
            AxumBody::from_stream(stream::iter(["a", "b", "c"].map(Ok::<_, Infallible>)))
        }),
    );
    let site = Site::on(layer, AsgiHandler::new(router));
    let client = async {
        let mut content = Vec::new();
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let part = site.reply().await;
            content.extend_from_slice(&part.content);
            if !part.more_content {
                return content;
            }
        }
    };
    let ((), content) = tokio::join!(site.consume(get("/")), client);
    assert_eq!(content, b"abc");
}

#[tokio::test(start_paused = true)]
async fn a_response_nobody_reads_is_given_up() {
    let layer = InMemoryChannelLayer::with_config(
        LayerConfig::default()
            .capacity(1)
            .expiry(Duration::from_secs(3600)),
    );
    let endless =
        || async { AxumBody::from_stream(stream::repeat_with(|| Ok::<_, Infallible>("more"))) };
    let router = Router::new().route("/", on_get(endless));
    let handler = AsgiHandler::new(router).send_timeout(Duration::from_secs(20));
    let site = Site::on(layer, handler);
    let began = Instant::now();
    site.consume(get("/")).await;
    let waited = began.elapsed();
    assert_eq!(waited.as_secs(), 20);
    assert_eq!(site.worker.statistics().errors, 1);
}

#[tokio::test]
async fn a_service_may_answer_later_from_another_task() {
    let go = Arc::new(Notify::new());
    let gone = go.clone();
    let router = Router::new().route(
        "/",
        on_get(
            move |Extension(request): Extension<AsgiRequest>| async move {
                let reply_channel = request.reply_channel();
                tokio::spawn(async move {
                    gone.notified().await;
                    reply_channel
                        .respond(Response::new("news".to_owned()))
                        .await
                });
                Response::<AxumBody>::from(ResponseLater)
            },
        ),
    );
    let site = Site::new(AsgiHandler::new(router));
    site.consume(get("/")).await;
    assert_eq!(site.replies().await, []);
    go.notify_one();
    assert_eq!(site.reply().await, ResponsePart::new(200, "news"));
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn axum_handlers_take_the_reply_channel_and_return_response_later() {
    async fn wait(reply_channel: HttpReplyChannel, request: AsgiRequest) -> ResponseLater {
        assert_eq!(request.path(), "/");
        tokio::spawn(async move {
            reply_channel
                .respond(Response::new("news".to_owned()))
                .await
        });
        ResponseLater
    }
    let router: Router = Router::new().route("/", on_get(wait));
    let site = Site::new(AsgiHandler::new(router.clone()));
    site.consume(get("/")).await;
    assert_eq!(site.reply().await, ResponsePart::new(200, "news"));

    let direct = Request::get("/")
        .body(AxumBody::empty())
        .expect("a request");
    let response = tower::ServiceExt::oneshot(router, direct)
        .await
        .expect("infallible");
    assert_eq!(response.status(), http::StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn an_answer_may_come_from_whoever_knows_the_channels_name() {
    let site = Site::new(|cx: Context| async move { cx.answer_later() });
    site.consume(get("/")).await;
    let elsewhere = HttpReplyChannel::new(REPLY_CHANNEL, site.layer.clone());
    let sent = elsewhere.respond(Response::new("news".to_owned())).await;
    sent.expect("room");
    assert_eq!(site.reply().await, ResponsePart::new(200, "news"));
}

#[tokio::test]
async fn a_consumer_may_answer_by_hand() {
    async fn http_consumer(cx: Context) -> Outcome {
        let path = cx.message().text("path")?;
        let response = Response::new(format!("Hello world! You asked for {path}"));
        for message in encode_response(response) {
            cx.reply(message);
        }
        Ok(())
    }
    let site = Site::new(http_consumer);
    let text = "Hello world! You asked for /here".to_owned();
    assert_eq!(site.text(get("/here")).await, (200, text));
}

#[tokio::test]
async fn a_consumer_that_fails_while_it_responds_is_answered_for_once() {
    async fn consumer(cx: Context) -> Outcome {
        let parts = match cx.message().text("path")?.len() {
            1 => 0,
            _ => 1,
        };
        let parts = (0..=parts).map(move |part| match part {
            part if part < parts => Ok("part"),
            _ => Err(io::Error::other("the disk is gone")),
        });
        respond(
            &cx,
            Response::new(AxumBody::from_stream(stream::iter(parts))),
        )
        .await
    }
    let site = Site::new(consumer);
    assert_eq!(site.text(get("/")).await.0, 500);
    site.consume(get("/begun")).await;
    let replies = site.replies().await;
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[1], ResponsePart::aborted());
}

#[tokio::test]
async fn a_service_can_send_to_groups() {
    let router = Router::new().route(
        "/",
        on_get(|Extension(request): Extension<AsgiRequest>| async move {
            let group = request.context().group("chat").expect("a valid name");
            group.send(message! { "text" => "someone looked" });
        }),
    );
    let site = Site::new(AsgiHandler::new(router));
    let member = ChannelName::from_static("member!x");
    let group = GroupName::from_static("chat");
    site.layer
        .group_add(&group, &member)
        .await
        .expect("a layer");
    assert_eq!(site.text(get("/")).await.0, 200);
    let received = site.layer.try_receive(&[member.to_non_local()]).await;
    let (_, message) = received.expect("a layer").expect("a message");
    assert_eq!(message.text("text").expect("text"), "someone looked");
}

/// Every request allocates it, and allocators are quick with small pieces only.
#[tokio::test]
async fn the_future_of_a_request_is_small() {
    let size = Arc::new(AtomicUsize::new(0));
    let measured = size.clone();
    let site = Site::new(move |cx: Context| {
        let handler = AsgiHandler::new(broken(0));
        let future = Consumer::<_, ()>::call(&handler, cx, &());
        measured.store(size_of_val(&future), Ordering::Relaxed);
        std::future::ready(())
    });
    site.consume(get("/")).await;
    let size = size.load(Ordering::Relaxed);
    assert!(size > 0 && size <= 1024, "{size} bytes");
}
