//! Request bodies that come over a body channel.
#![allow(missing_docs, reason = "tests are named for the rule they check")]

mod http_support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asgiref::protocol::Headers;
use asgiref::protocol::http::{BodyChunk, Request as RequestMessage};
use asgiref::{ByteString, Bytes, ChannelLayer as _, ChannelName, message};
use axum::Router;
use axum::routing::post;
use channels::http::{AsgiHandler, Body, BodyError, respond};
use channels::{Context, Outcome};
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use http_support::{BODY_CHANNEL, Site, chunk, upload};
use tokio::time::Instant;

/// Says how many bytes it got, reading part by part.
async fn count(body: axum::body::Body) -> String {
    let mut parts = body.into_data_stream();
    let (mut bytes, mut largest) = (0, 0);
    while let Some(part) = parts.next().await {
        let length = part.expect("the whole body").len();
        bytes += length;
        largest = largest.max(length);
    }
    format!("{bytes} bytes, {largest} at most")
}

fn router() -> Router {
    Router::new()
        .route("/count", post(count))
        .route(
            "/whole",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/text", post(|text: String| async move { text }))
        .route("/ignored", post(|| async { "did not look" }))
        .with_state(())
}

#[tokio::test]
async fn the_body_is_what_came_with_the_message_and_then_the_chunks() {
    let site = Site::new(AsgiHandler::new(router()));
    site.send(BODY_CHANNEL, chunk("four ", true)).await;
    site.send(BODY_CHANNEL, chunk("", true)).await;
    site.send(BODY_CHANNEL, chunk("lights", false)).await;
    site.send(BODY_CHANNEL, chunk(" and what comes too late", false))
        .await;
    let request = RequestMessage {
        body: Bytes::from("there are "),
        ..upload("/text")
    };
    let answer = (200, "there are four lights".to_owned());
    assert_eq!(site.text(request).await, answer);
}

#[tokio::test]
async fn chunks_are_taken_off_the_channel_as_the_service_reads() {
    const CHUNKS: usize = 200;
    let layer = asgiref::LayerConfig::default();
    let site = Site::on(
        asgiref::InMemoryChannelLayer::with_config(layer.capacity(2)),
        AsgiHandler::new(router()),
    );
    let channel = ChannelName::from_static(BODY_CHANNEL);
    let client = async {
        let mut full = 0;
        for number in 0..CHUNKS {
            let content = vec![b'x'; 64 * 1024];
            let part = chunk(content, number + 1 < CHUNKS);
            while let Err(error) = site.layer.send(&channel, part.clone().into()).await {
                assert!(error.is_channel_full());
                full += 1;
                tokio::task::yield_now().await;
            }
        }
        full
    };
    let (answer, full) = tokio::join!(site.text(upload("/count")), client);
    assert_eq!(answer, (200, "13107200 bytes, 65536 at most".to_owned()));
    assert!(full > 0, "the client was slowed down");
}

#[tokio::test]
async fn a_service_that_does_not_read_takes_no_chunk() {
    let site = Site::new(AsgiHandler::new(router()));
    site.send(BODY_CHANNEL, chunk("unread", false)).await;
    assert_eq!(site.text(upload("/ignored")).await.1, "did not look");
    let channels = [ChannelName::from_static(BODY_CHANNEL)];
    let left = site.layer.try_receive(&channels).await.expect("a layer");
    assert!(left.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_is_answered_408() {
    let handler = AsgiHandler::new(router()).body_timeout(Duration::from_secs(5));
    let site = Site::new(handler);
    site.send(BODY_CHANNEL, chunk("begun", true)).await;
    let began = Instant::now();
    let answer = (408, "the upload was too slow".to_owned());
    assert_eq!(site.text(upload("/whole")).await, answer);
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_is_for_each_part_of_the_upload() {
    let site = Site::new(AsgiHandler::new(router()));
    let client = async {
        for number in 1..=10 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            site.send(BODY_CHANNEL, chunk("part", number < 10)).await;
        }
    };
    let (answer, ()) = tokio::join!(site.text(upload("/whole")), client);
    assert_eq!(answer, (200, "40".to_owned()));
}

#[tokio::test]
async fn nothing_is_sent_to_a_client_that_went_away() {
    let site = Site::new(AsgiHandler::new(router()));
    site.send(BODY_CHANNEL, chunk("begun", true)).await;
    let closed = BodyChunk {
        closed: true,
        ..BodyChunk::default()
    };
    site.send(BODY_CHANNEL, closed).await;
    site.consume(upload("/whole")).await;
    assert_eq!(site.replies().await, []);
    assert_eq!(site.worker.statistics().errors, 0);
}

/// What a service sees that reads the body of an upload to its end, and what the client sees if
/// it answers `status`.
async fn ending(
    sent: impl IntoIterator<Item = asgiref::Message>,
    limit: u64,
    status: StatusCode,
) -> (Option<BodyError>, u16) {
    let seen = Arc::new(Mutex::new(None));
    let slot = seen.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let slot = slot.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                *slot.lock().expect("no panic") = frame.err();
            }
            let mut response = Response::new(String::new());
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    let site = Site::new(AsgiHandler::new(service).max_body_size(limit));
    for message in sent {
        site.send(BODY_CHANNEL, message).await;
    }
    let status = site.text(upload("/")).await.0;
    let error = seen.lock().expect("no panic").take();
    (error, status)
}

#[tokio::test]
async fn an_upload_larger_than_allowed_is_answered_413() {
    let too_large = || [chunk("12345", true).into(), chunk("6", true).into()];
    let (error, status) = ending(too_large(), 5, StatusCode::BAD_REQUEST).await;
    assert!(matches!(error, Some(BodyError::TooLarge { limit: 5 })));
    assert_eq!(status, 413);

    let (error, status) = ending(too_large(), 5, StatusCode::OK).await;
    assert!(error.is_some());
    assert_eq!(status, 200, "the service made something of it");

    let fits = [chunk("12345", false).into()];
    let (error, status) = ending(fits, 5, StatusCode::BAD_REQUEST).await;
    assert!(error.is_none());
    assert_eq!(status, 400, "the service's own refusal");
}

#[tokio::test]
async fn a_message_that_is_no_chunk_ends_the_body() {
    let sent = [message! { "content" => "text" }];
    let (error, status) = ending(sent, 5, StatusCode::BAD_REQUEST).await;
    assert!(matches!(error, Some(BodyError::Malformed(_))));
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_body_known_to_be_too_large_does_not_reach_the_service() {
    let panicking = tower::service_fn(|_: Request<Body>| async {
        if true {
            panic!("the service was called");
        }
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let site = Site::new(AsgiHandler::new(panicking).max_body_size(5));
    let announced = RequestMessage {
        headers: Headers::from([("content-length", "6")]),
        ..upload("/")
    };
    assert_eq!(site.text(announced).await.0, 413);
    let arrived = RequestMessage {
        body: Bytes::from("123456"),
        body_channel: None,
        ..upload("/")
    };
    assert_eq!(site.text(arrived).await.0, 413);
}

#[tokio::test]
async fn a_body_says_how_much_of_it_is_known() {
    use http_body::Body as _;
    let whole = Body::from(Bytes::from("abc"));
    assert_eq!(whole.size_hint().exact(), Some(3));
    assert!(!whole.is_end_stream());
    assert!(Body::empty().is_end_stream());

    async fn consumer(request: Request<Body>, cx: Context) -> Outcome {
        let hint = request.body().size_hint();
        let text = format!("{:?} {:?}", hint.lower(), hint.upper());
        respond(&cx, Response::new(text)).await
    }
    let site = Site::new(consumer);
    let request = RequestMessage {
        body: Bytes::from("abc"),
        method: ByteString::from_static("PUT"),
        ..upload("/")
    };
    assert_eq!(site.text(request).await.1, "3 None");
}
