//! What users of a site have: HTTP requests and WebSockets.

use std::net::{Ipv4Addr, TcpStream as StdTcpStream};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::within;

/// Whether somebody listens on `port`.
pub fn answers(port: u16) -> bool {
    StdTcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A user's HTTP client.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Body>,
    port: u16,
}

impl Http {
    pub fn new(port: u16) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, port }
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Bytes) {
        within(format!("an answer to {path}"), self.get_unbounded(path)).await
    }

    /// As [`get`](Self::get), but waits for as long as the server does.
    pub async fn get_unbounded(&self, path: &str) -> (StatusCode, Bytes) {
        self.request("GET", path, Body::empty()).await
    }

    /// The status of an answer, if one comes within a second.
    pub async fn try_get(&self, path: &str) -> Option<StatusCode> {
        let answer = self.get_unbounded(path);
        let answer = tokio::time::timeout(Duration::from_secs(1), answer).await;
        answer.ok().map(|(status, _)| status)
    }

    pub async fn post(&self, path: &str, body: Bytes) -> (StatusCode, Bytes) {
        within(
            format!("an answer to {path}"),
            self.request("POST", path, body.into()),
        )
        .await
    }

    async fn request(&self, method: &str, path: &str, body: Body) -> (StatusCode, Bytes) {
        let uri = format!("http://127.0.0.1:{}{path}", self.port);
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("x-test", "a value");
        let request = request.body(body).expect("a valid request");
        let response = self
            .client
            .request(request)
            .await
            .expect("the server answers");
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("the answer is whole");
        (status, body.to_bytes())
    }
}

/// A user's WebSocket.
#[derive(Debug)]
pub struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub async fn open(port: u16, path: &str) -> Self {
        let url = format!("ws://127.0.0.1:{port}{path}");
        let opened = within(format!("{path} to open"), connect_async(url)).await;
        let (socket, _) = opened.unwrap_or_else(|error| panic!("{path} is refused: {error}"));
        Self { socket }
    }

    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn send(&mut self, message: Message) {
        let sent = within("to send", self.socket.send(message)).await;
        sent.expect("the socket is open");
    }

    /// The next frame with content, which must come.
    pub async fn next(&mut self) -> Message {
        within("a frame", async {
            loop {
                let next = self.socket.next().await.expect("the socket stays open");
                let frame = next.expect("the frame is well-formed");
                assert!(!frame.is_close(), "the server closed the socket: {frame:?}");
                if frame.is_text() || frame.is_binary() {
                    return frame;
                }
            }
        })
        .await
    }

    /// The next text.
    pub async fn hear(&mut self) -> String {
        let frame = self.next().await;
        frame.into_text().expect("a text frame").to_string()
    }

    /// Closes in order, and waits for the server's consent.
    pub async fn close(mut self) {
        within("the socket to close", async {
            self.socket.close(None).await.expect("the socket is open");
            while let Some(Ok(_)) = self.socket.next().await {}
        })
        .await;
    }
}
