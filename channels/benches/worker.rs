//! What a worker adds to the life of a message: routing, the consumer's call, the reply.

use std::hint::black_box;
use std::sync::Arc;

use asgiref::protocol::http::Request;
use asgiref::{
    ChannelLayer as _, ChannelName, InMemoryChannelLayer, LayerConfig, Message, message,
};
use axum::routing::get;
use channels::http::AsgiHandler;
use channels::{Context, DefaultRoutes, Outcome, Params, Router, Text, Worker, include, route};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use tokio::runtime::Runtime;

const REPLY: ChannelName = ChannelName::from_static("client!");
const RECEIVE: ChannelName = ChannelName::from_static("websocket.receive");
const REQUEST: ChannelName = ChannelName::from_static("http.request");

/// Messages of one measured burst.
const BURST: u64 = 1_000;

fn layer() -> Arc<InMemoryChannelLayer> {
    let config = LayerConfig::new().capacity(2 * BURST as usize);
    Arc::new(InMemoryChannelLayer::with_config(config))
}

fn frame() -> Message {
    message! {
        "reply_channel" => "client!AbCdEfGhIjKl",
        "path" => "/chat/lobby/",
        "text" => "hello",
        "order" => 1,
    }
}

fn request() -> Message {
    let reply_channel = ChannelName::from_static("client!AbCdEfGhIjKl");
    let mut request = Request::new(reply_channel, "GET", "/");
    request.headers.push("host", "127.0.0.1:8000");
    request.headers.push("user-agent", "bench");
    Message::from(request)
}

async fn echo(cx: Context) -> Outcome {
    cx.reply(message! { "text" => cx.message().text("text")?.clone() });
    Ok(())
}

#[derive(Deserialize)]
struct Room {
    room: String,
}

async fn chat(Params(Room { room }): Params<Room>, Text(text): Text, cx: Context) -> Outcome {
    cx.reply(message! { "room" => room, "text" => text });
    Ok(())
}

fn hello() -> Worker {
    let pages = axum::Router::new().route("/", get(|| async { "Hello world!" }));
    Worker::builder(layer(), Router::new())
        .default_routes(DefaultRoutes::new().http(AsgiHandler::new(pages.with_state(()))))
        .build()
        .expect("a worker")
}

fn worker(router: Router) -> Worker {
    Worker::builder(layer(), router).build().expect("a worker")
}

/// Sends a message, runs its consumer and takes the reply, one after the other.
fn one(c: &mut Criterion, name: &str, worker: &Worker, channel: &ChannelName, message: &Message) {
    let runtime = Runtime::new().expect("a runtime");
    let layer = Arc::clone(worker.layer());
    c.bench_function(name, |bencher| {
        bencher.to_async(&runtime).iter(async || {
            layer.send(channel, message.clone()).await.expect("room");
            worker.run_once().await.expect("a message");
            let replied = layer.receive(&[REPLY]).await;
            black_box(replied.expect("a reply"));
        });
    });
}

/// Sends many messages to a running worker, then takes all replies.
fn burst(c: &mut Criterion, name: &str, worker: &Worker, channel: &ChannelName, message: &Message) {
    let runtime = Runtime::new().expect("a runtime");
    let layer = Arc::clone(worker.layer());
    runtime.spawn({
        let worker = worker.clone();
        async move { worker.run(std::future::pending()).await }
    });
    let mut group = c.benchmark_group("burst");
    group.throughput(Throughput::Elements(BURST));
    group.bench_function(name, |bencher| {
        bencher.to_async(&runtime).iter(async || {
            for _ in 0..BURST {
                layer.send(channel, message.clone()).await.expect("room");
            }
            for _ in 0..BURST {
                let replied = layer.receive(&[REPLY]).await;
                black_box(replied.expect("a reply"));
            }
        });
    });
    group.finish();
}

fn routing(c: &mut Criterion) {
    let mut chat_routes = Router::new();
    for number in 0..100 {
        let path = format!("/room-{number}/(?P<rest>.*)$");
        chat_routes = chat_routes.route(route(RECEIVE, echo).path(&path));
    }
    let chat_routes = chat_routes.route(route(RECEIVE, chat).path(r"/(?P<room>[a-z]+)/$"));
    let many = worker(Router::new().include(include(chat_routes).path("/chat")));
    one(c, "the last of 101 routes", &many, &RECEIVE, &frame());
}

fn consumers(c: &mut Criterion) {
    let plain = worker(Router::new().route(route(RECEIVE, echo)));
    one(c, "echo", &plain, &RECEIVE, &frame());
    burst(c, "echo", &plain, &RECEIVE, &frame());
    let included = Router::new().route(route(RECEIVE, chat).path(r"/(?P<room>\w+)/$"));
    let captures = worker(Router::new().include(include(included).path("/chat")));
    one(c, "captures and arguments", &captures, &RECEIVE, &frame());
    one(c, "http hello", &hello(), &REQUEST, &request());
    burst(c, "http hello", &hello(), &REQUEST, &request());
}

criterion_group!(benches, routing, consumers);
criterion_main!(benches);
