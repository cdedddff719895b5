//! What it costs to serve a request from a channel instead of calling the router.
//!
//! * `router`: the axum router alone, given a request as hyper would make it.
//! * `handler`: the same through `AsgiHandler`: request message in, response message out, to a
//!   channel layer that drops it.
//! * `worker`: the same with an in-memory channel layer and a worker around it.
#![allow(
    missing_docs,
    reason = "criterion's macros make functions without documentation"
)]

use std::fmt;
use std::hint::black_box;
use std::sync::{Arc, Mutex};

use asgiref::protocol::Address;
use asgiref::protocol::http::{REQUEST, Request as RequestMessage};
use asgiref::{Bytes, ChannelLayer, ChannelName, ChannelPattern, InMemoryChannelLayer, Message};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body as AxumBody;
use axum::routing::get;
use channels::http::AsgiHandler;
use channels::{Consumer, Context, Worker, route};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// What a browser sends.
const HEADERS: [(&str, &str); 8] = [
    ("host", "www.example.com"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("connection", "keep-alive"),
    ("cookie", "sessionid=4q8zj2t0a5m1x7d9; csrftoken=Jx2c8Qk1"),
    ("upgrade-insecure-requests", "1"),
];

const REPLY_CHANNEL: ChannelName = ChannelName::from_static("daphne.response.AbCdEfGhIjKl!x1");

/// Takes every message and keeps none.
#[derive(Debug)]
struct Drain;

impl fmt::Display for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drain")
    }
}

#[async_trait]
impl ChannelLayer for Drain {
    async fn send(&self, _: &ChannelName, message: Message) -> asgiref::Result<()> {
        black_box(message);
        Ok(())
    }

    async fn receive(&self, _: &[ChannelName]) -> asgiref::Result<(ChannelName, Message)> {
        std::future::pending().await
    }

    async fn try_receive(
        &self,
        _: &[ChannelName],
    ) -> asgiref::Result<Option<(ChannelName, Message)>> {
        Ok(Some((REQUEST, request_message())))
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> asgiref::Result<ChannelName> {
        Ok(pattern.generate())
    }
}

fn request_message() -> Message {
    RequestMessage {
        headers: HEADERS
            .map(|(name, value)| (Bytes::from(name.to_owned()), Bytes::from(value.to_owned())))
            .into_iter()
            .collect(),
        client: Some(Address::new("127.0.0.1", 54321)),
        server: Some(Address::new("127.0.0.1", 8000)),
        ..RequestMessage::new(REPLY_CHANNEL, "GET", "/hello".to_owned())
    }
    .into()
}

fn http_request() -> Request<AxumBody> {
    let mut request = Request::new(AxumBody::empty());
    *request.uri_mut() =
        http::Uri::from_maybe_shared(Bytes::from("/hello".to_owned())).expect("a valid URI");
    for (name, value) in HEADERS {
        request.headers_mut().append(
            HeaderName::from_bytes(name.as_bytes()).expect("a valid name"),
            HeaderValue::from_maybe_shared(Bytes::from(value.to_owned())).expect("a valid value"),
        );
    }
    request
}

fn hello() -> Router {
    Router::new()
        .route("/hello", get(|| async { "Hello, world!" }))
        .with_state(())
}

/// The context a consumer is called with for `message`.
fn context(runtime: &Runtime) -> Context {
    let slot = Arc::new(Mutex::new(None));
    let filled = slot.clone();
    let keep = move |cx: Context| {
        *filled.lock().expect("no panic") = Some(cx);
        std::future::ready(())
    };
    let router = channels::Router::new().route(route("http.request", keep));
    let worker = Worker::builder(Arc::new(Drain), router)
        .build()
        .expect("a worker");
    runtime.block_on(worker.run_once()).expect("a message");
    let context = slot.lock().expect("no panic").take();
    context.expect("the consumer was called")
}

fn benchmarks(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("hello");

    let router = hello();
    group.bench_function("router", |bencher| {
        bencher
            .to_async(&runtime)
            .iter_with_setup(http_request, |request| async {
                let response = router.clone().oneshot(request).await.expect("infallible");
                let (parts, body) = response.into_parts();
                (parts, body.collect().await.expect("a whole body"))
            });
    });

    let context = context(&runtime);
    let handler = AsgiHandler::new(hello());
    group.bench_function("handler", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { Consumer::call(&handler, context.clone(), &()).await });
    });

    let layer = Arc::new(InMemoryChannelLayer::new());
    let routes = channels::Router::new().route(route("http.request", handler.clone()));
    let worker = Worker::builder(layer.clone(), routes)
        .build()
        .expect("a worker");
    let replies = [REPLY_CHANNEL.to_non_local()];
    group.bench_function("worker", |bencher| {
        bencher
            .to_async(&runtime)
            .iter_with_setup(request_message, |message| async {
                layer.send(&REQUEST, message).await.expect("room");
                worker.run_once().await.expect("a message");
                layer.try_receive(&replies).await.expect("an answer")
            });
    });
    group.finish();
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
