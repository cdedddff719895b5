//! Recorded requests to the original's default HTTP consumer, served by an axum router that does
//! what the recorded views did.
#![allow(missing_docs, reason = "tests are named for the rule they check")]

mod http_support;

use std::convert::Infallible;
use std::io;

use asgiref::protocol::http::Response as ResponsePart;
use asgiref::{Bytes, Message};
use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use channels::http::{AsgiHandler, AsgiRequest};
use futures_util::stream;
use http_support::Site;

const PLAIN: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain")];

async fn ok(Extension(request): Extension<AsgiRequest>, uri: Uri) -> impl IntoResponse {
    let (path, script) = (request.path(), request.root_path());
    (
        PLAIN,
        format!("path={path} info={} script={script} user", uri.path()),
    )
}

async fn reverse(Extension(request): Extension<AsgiRequest>) -> impl IntoResponse {
    (PLAIN, format!("{}/ok", request.root_path()))
}

async fn stream() -> impl IntoResponse {
    let parts = ["a", "b"].map(Ok::<_, Infallible>);
    (PLAIN, Body::from_stream(stream::iter(parts)))
}

async fn broken_stream() -> impl IntoResponse {
    let parts = [Ok("a"), Err(io::Error::other("as recorded"))];
    (PLAIN, Body::from_stream(stream::iter(parts)))
}

async fn form(body: String) -> Response {
    let pairs = body
        .split('&')
        .map(|pair| pair.split_once('=').expect("a pair"));
    let pairs: Vec<_> = pairs
        .map(|(key, value)| format!(r#""{key}": ["{value}"]"#))
        .collect();
    let text = format!(r#"{{"POST": {{{}}}, "body": "{body}"}}"#, pairs.join(", "));
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn failing() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

fn views() -> Router {
    Router::new()
        .route("/ok", get(ok))
        .route("/rev", get(reverse))
        .route("/err", get(failing))
        .route("/stream", get(stream))
        .route("/streamerr", get(broken_stream))
        .route("/post", post(form))
}

/// Headers are compared apart from `content-length`, which axum adds.
fn without_length(part: &ResponsePart) -> ResponsePart {
    let mut part = part.clone();
    part.headers = part
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| name != b"content-length")
        .collect();
    part
}

#[tokio::test(start_paused = true)]
async fn recorded_views() {
    let vectors = http_support::vectors(include_str!("vectors/ch_view_consumer.json"));
    assert_eq!(vectors.len(), 12);
    for vector in vectors {
        let name = vector["name"].as_str().expect("a name");
        let site = Site::new(AsgiHandler::new(views()));
        for sent in vector["body_channel_messages"].as_array().expect("a list") {
            let chunk = http_support::map(sent[1].as_object().expect("a message"));
            site.send(sent[0].as_str().expect("a channel"), Message::from(chunk))
                .await;
        }
        // The recorded requests are to another reply channel than the other tests'.
        let mut message = http_support::map(vector["message"].as_object().expect("a message"));
        message.insert("reply_channel", http_support::REPLY_CHANNEL);
        site.consume(Message::from(message)).await;
        let replies: Vec<_> = site.replies().await.iter().map(without_length).collect();
        let mut expected: Vec<_> = vector["replies"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|reply| {
                let reply = http_support::map(reply.as_object().expect("a message"));
                let reply = ResponsePart::try_from(&Message::from(reply)).expect("valid");
                without_length(&reply)
            })
            .collect();
        // Where this differs from the original, and why.
        match name {
            // The pages are Django's own; the upload's is worded differently.
            "404 no url" | "500" | "body timeout -> 408" => {
                assert_eq!(replies.len(), 1, "{name}");
                assert_eq!(replies[0].status, expected[0].status, "{name}");
                continue;
            }
            // A `root_path` of null is none, and not a text that says so.
            "root_path None" => {
                let content = Bytes::from("path=/ok info=/ok script= user");
                expected[0].content = content;
            }
            // The original leaves the client waiting.
            "stream error midway" => expected.push(ResponsePart::aborted()),
            "missing method" => {
                assert_eq!(replies[0].status, Some(400), "{name}");
                continue;
            }
            _ => {}
        }
        assert_eq!(replies, expected, "{name}");
    }
}
