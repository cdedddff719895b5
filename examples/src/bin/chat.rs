//! A chat with rooms: pages by an axum router, WebSockets by consumers, a group for each room.
//!
//! Run with
//!
//! ```text
//! cargo run -p examples --bin chat
//! ```
//!
//! and open the address it prints in a few tabs. A port or an address may follow, and the options
//! `--help` lists.
//!
//! Nothing here keeps an order: what is said within the same few milliseconds, even by one person,
//! may be consumed at the same time and appear the other way round, as in Channels 1. People do not
//! notice. A program that does either numbers its messages, or runs with `--concurrency 1`, which
//! with a single worker consumes one message after the other. The guide of `channels` has more on
//! it, under "Order".

use std::error::Error;
use std::process::ExitCode;

use asgiref::message;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use channels::{Application, Context, Outcome, Params, Router, Text, include, route};
use serde::Deserialize;
use serde_json::json;

/// The longest text passed on, in characters. The page lets nobody write a longer one.
const LONGEST_TEXT: usize = 2000;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let application = Application::builder()
        .router(routing())
        .http(pages())
        .build()?;
    Ok(examples::run(application)?)
}

/// Which consumer takes which messages. The path of a WebSocket says who is where:
/// `/chat/garden/Ann/`.
fn routing() -> Router {
    let chat = Router::new()
        .route(route("websocket.connect", ws_connect).path(SEAT))
        .route(route("websocket.receive", ws_message).path(SEAT))
        .route(route("websocket.disconnect", ws_disconnect).path(SEAT));
    Router::new().include(include(chat).path("^/chat"))
}

/// A room, and a name of at most 30 characters.
const SEAT: &str = r"^/(?P<room>[A-Za-z0-9_-]{1,40})/(?P<name>[^/]{1,30})/$";

/// What [`SEAT`] captures. It is in the path of all three kinds of message, so nobody has to
/// remember who is who, and any worker can take any message.
#[derive(Deserialize)]
struct Seat {
    room: String,
    name: String,
}

impl Seat {
    fn group(&self) -> String {
        format!("chat-{}", self.room)
    }
}

async fn ws_connect(Params(seat): Params<Seat>, cx: Context) -> Outcome {
    cx.accept();
    let group = cx.group(seat.group())?;
    group.add(cx.reply_channel()?).await?;
    group.send(frame(&json!({"kind": "join", "name": seat.name})));
    Ok(())
}

async fn ws_message(Params(seat): Params<Seat>, text: Option<Text>, cx: Context) -> Outcome {
    // Binary frames have no text.
    let Some(Text(text)) = text else {
        return Ok(());
    };
    let text: String = text.trim().chars().take(LONGEST_TEXT).collect();
    if !text.is_empty() {
        let message = json!({"kind": "message", "name": seat.name, "text": text});
        cx.group(seat.group())?.send(frame(&message));
    }
    Ok(())
}

async fn ws_disconnect(Params(seat): Params<Seat>, cx: Context) -> Outcome {
    let group = cx.group(seat.group())?;
    group.discard(cx.reply_channel()?).await?;
    group.send(frame(&json!({"kind": "leave", "name": seat.name})));
    Ok(())
}

/// A text frame, for any number of WebSockets.
fn frame(content: &serde_json::Value) -> channels::Message {
    message! { "text" => content.to_string() }
}

/// Everything that is not a WebSocket. The page is the same at both addresses; its script looks
/// where it is.
fn pages() -> axum::Router {
    axum::Router::new()
        .route("/", get(page))
        .route("/chat/{room}/", get(page))
        .route("/static/chat.css", get(async || STYLE))
        .route("/static/chat.js", get(async || SCRIPT))
}

const PAGE: Asset = Asset(
    "text/html; charset=utf-8",
    include_str!("../../static/chat.html"),
);
const STYLE: Asset = Asset(
    "text/css; charset=utf-8",
    include_str!("../../static/chat.css"),
);
const SCRIPT: Asset = Asset(
    "text/javascript; charset=utf-8",
    include_str!("../../static/chat.js"),
);

/// The page may load what comes from this server, and nothing else.
async fn page() -> impl IntoResponse {
    let policy = HeaderValue::from_static("default-src 'self'; img-src 'self' data:");
    ([(CONTENT_SECURITY_POLICY, policy)], PAGE)
}

/// A file that is part of the program: its type and its contents.
struct Asset(&'static str, &'static str);

impl IntoResponse for Asset {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, HeaderValue::from_static(self.0))], self.1).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;

    async fn status(path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty());
        let request = request.expect("a valid request");
        let answered = pages().oneshot(request).await;
        answered.expect("pages do not fail").status()
    }

    #[tokio::test]
    async fn every_file_the_page_needs_is_there() {
        for path in ["/", "/chat/garden/", "/static/chat.css", "/static/chat.js"] {
            assert_eq!(status(path).await, StatusCode::OK, "{path}");
        }
        let values = PAGE.1.split('"').skip(1).step_by(2);
        let referred = values.filter(|value| value.starts_with('/'));
        for path in referred {
            assert_eq!(status(path).await, StatusCode::OK, "{path} in the page");
        }
        assert_eq!(status("/elsewhere").await, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_page_may_load_nothing_from_elsewhere() {
        let response = page().await.into_response();
        let policy = &response.headers()[CONTENT_SECURITY_POLICY];
        let policy = policy.to_str().expect("the policy is text");
        assert!(policy.starts_with("default-src 'self'"));
        for file in [&PAGE, &STYLE, &SCRIPT] {
            assert!(!file.1.contains("https://"), "{}", file.0);
        }
    }
}
