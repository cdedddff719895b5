//! The whole way: a TCP connection, daphne, a channel layer, a worker, an axum router, and back.
#![allow(missing_docs, reason = "tests are named for the rule they check")]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use asgiref::InMemoryChannelLayer;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path};
use axum::routing::{get, post};
use channels::http::{AsgiHandler, ResponseLater};
use channels::{DefaultRoutes, Worker};
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A server and two workers.
struct Site {
    address: SocketAddr,
    _stop: DropGuard,
    _tasks: JoinSet<()>,
}

impl Site {
    async fn start(router: Router) -> Self {
        let layer = Arc::new(InMemoryChannelLayer::new());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            let handler = AsgiHandler::new(router.clone()).max_body_size(32 << 20);
            let worker = Worker::builder(layer.clone(), channels::Router::new())
                .default_routes(DefaultRoutes::new().http(handler))
                .build()
                .expect("a worker");
            let stopped = stop.clone().cancelled_owned();
            tasks.spawn(async move { worker.run(stopped).await.expect("a clean end") });
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let server = daphne::Server::builder(layer)
            .listener(listener)
            .http_timeout(Duration::from_secs(2))
            .build()
            .expect("a server");
        let bound = server.bind().await.expect("a bound port");
        let address = bound.local_addrs()[0];
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move { bound.run(stopped).await.expect("a clean end") });
        Self {
            address,
            _stop: stop.drop_guard(),
            _tasks: tasks,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("a connection")
    }

    /// Sends `request` and returns all that comes until the server closes the connection, or the
    /// error that ends it.
    async fn exchange(&self, request: impl AsRef<[u8]>) -> (String, io::Result<()>) {
        let mut connection = self.connect().await;
        connection.write_all(request.as_ref()).await.expect("sent");
        read_all(&mut connection).await
    }
}

async fn read_all(connection: &mut TcpStream) -> (String, io::Result<()>) {
    let mut response = Vec::new();
    let read = tokio::time::timeout(LIMIT, connection.read_to_end(&mut response));
    let result = read.await.expect("an end in time").map(drop);
    (String::from_utf8_lossy(&response).into_owned(), result)
}

async fn read_until(connection: &mut TcpStream, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let mut part = [0; 1024];
        let read = tokio::time::timeout(LIMIT, connection.read(&mut part));
        let length = read
            .await
            .expect("more in time")
            .expect("an open connection");
        assert!(length > 0, "the connection is closed after {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    seen
}

fn get_request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

fn content(response: &str) -> &str {
    response.split_once("\r\n\r\n").expect("a whole head").1
}

#[tokio::test]
async fn a_path_reaches_the_router_as_the_client_meant_it() {
    let router = Router::new().route("/{name}", get(|Path(name): Path<String>| async { name }));
    let site = Site::start(router).await;
    let (response, _) = site.exchange(get_request("/t%C3%A9%20a%25b+c?x")).await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert_eq!(content(&response), "té a%b+c");
    let (response, _) = site.exchange(get_request("/a/b")).await;
    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
}

#[tokio::test]
async fn a_large_upload_streams_through() {
    const SIZE: usize = 20 << 20;
    async fn count(body: Body) -> String {
        let mut size = 0;
        let mut parts = body.into_data_stream();
        while let Some(part) = parts.next().await {
            size += part.expect("the whole body").len();
        }
        size.to_string()
    }
    let router = Router::new()
        .route("/", post(count))
        .layer(DefaultBodyLimit::disable());
    let site = Site::start(router).await;
    let mut request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {SIZE}\r\n\r\n"
    )
    .into_bytes();
    request.resize(request.len() + SIZE, b'x');
    let (response, _) = site.exchange(request).await;
    assert_eq!(content(&response), SIZE.to_string());
}

#[tokio::test]
async fn an_upload_announced_too_large_is_answered_413() {
    let site = Site::start(Router::new().route("/", post(|| async {}))).await;
    let mut request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        33 << 20
    )
    .into_bytes();
    // The server passes a request on when it has a first part of the body.
    request.resize(request.len() + (600 << 10), b'x');
    let mut client = site.connect().await;
    client.write_all(&request).await.expect("sent");
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}

#[tokio::test]
async fn a_large_response_arrives_whole() {
    const SIZE: usize = 3_000_000;
    let router = Router::new().route("/", get(|| async { "x".repeat(SIZE) }));
    let site = Site::start(router).await;
    let (response, result) = site.exchange(get_request("/")).await;
    result.expect("a clean end");
    assert_eq!(content(&response).len(), SIZE);
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_taken_for_whole() {
    let begun = Arc::new(Notify::new());
    let seen = begun.clone();
    let broken = move || async move {
        let failure = async move {
            seen.notified().await;
            Err(io::Error::other("the disk is gone"))
        };
        let parts = stream::iter([Ok("begun")]).chain(stream::once(failure));
        Body::from_stream(parts)
    };
    let site = Site::start(Router::new().route("/", get(broken))).await;
    let mut client = site.connect().await;
    let request = get_request("/");
    client.write_all(request.as_bytes()).await.expect("sent");
    let head = read_until(&mut client, "begun").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    begun.notify_one();
    let (rest, _) = read_all(&mut client).await;
    assert!(!rest.contains("0\r\n\r\n"), "no last chunk: {rest}");
}

#[tokio::test]
async fn a_stream_ends_when_its_client_closes_the_connection() {
    let (running, mut ended) = mpsc::channel::<Infallible>(1);
    let site = {
        let running = running.clone();
        let events = move || {
            let ticks = stream::unfold(running.clone(), |running| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, Infallible>("data: tick\n\n"), running))
            });
            async { Body::from_stream(ticks) }
        };
        Site::start(Router::new().route("/", get(events))).await
    };
    let open = running.strong_count();
    for _ in 0..4 {
        let mut client = site.connect().await;
        let request = get_request("/");
        client.write_all(request.as_bytes()).await.expect("sent");
        read_until(&mut client, "tick").await;
        assert!(running.strong_count() > open, "a stream runs");
        drop(client);
        let ending = async {
            while running.strong_count() > open {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout(LIMIT, ending).await;
        ended.expect("the stream ends with its client");
    }
    drop((running, site));
    assert!(ended.recv().await.is_none());
}

#[tokio::test]
async fn a_request_nobody_answers_gets_503_from_the_server() {
    async fn never() -> axum::response::Response {
        ResponseLater.into()
    }
    let site = Site::start(Router::new().route("/", get(never))).await;
    let (response, _) = site.exchange(get_request("/")).await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
}
