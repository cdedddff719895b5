//! What our workers serve: the same as the Python site in `python/site`.

use std::sync::Arc;

use asgiref::{ChannelLayer, Message, message};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::request::Parts;
use axum::routing::{any, get};
use channels::{Application, Context, Outcome, Params, Router, Text, route};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value as Json_, json};
use sha2::{Digest as _, Sha256};

use crate::support::typed::to_hex;

pub fn application(layer: Arc<impl ChannelLayer>) -> Application {
    let application = Application::builder().layer("default", layer);
    let application = application.router(routing()).http(pages()).build();
    application.expect("the routing has a layer")
}

fn pages() -> axum::Router {
    axum::Router::new()
        .route("/hello", get(async || "Hello world!"))
        .route("/mirror", any(mirror))
        .route("/parts", get(parts))
        .layer(DefaultBodyLimit::disable())
}

async fn mirror(parts: Parts, body: Bytes) -> Json<Json_> {
    let header = parts.headers.get("x-test");
    Json(json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query().unwrap_or_default(),
        "header": header.map(|value| value.to_str().expect("ASCII")),
        "length": body.len(),
        "sha256": to_hex(&Sha256::digest(&body)),
    }))
}

async fn parts() -> Body {
    let parts = (0..5).map(|number| Ok::<_, std::convert::Infallible>(format!("part {number}\n")));
    Body::from_stream(stream::iter(parts))
}

const ECHO: &str = r"^/echo/$";
const CHAT: &str = r"^/chat/(?P<room>[a-z]+)/$";

fn routing() -> Router {
    Router::new()
        .route(route("websocket.connect", echo_connect).path(ECHO))
        .route(route("websocket.receive", echo_receive).path(ECHO))
        .route(route("websocket.connect", chat_connect).path(CHAT))
        .route(route("websocket.receive", chat_receive).path(CHAT))
        .route(route("websocket.disconnect", chat_disconnect).path(CHAT))
        .route(route("room.say", say_in_room))
}

async fn echo_connect(cx: Context) -> Outcome {
    cx.accept();
    Ok(())
}

async fn echo_receive(cx: Context) -> Outcome {
    let mut reply = Message::new();
    for key in ["text", "bytes"] {
        if let Some(value) = cx.message().get(key)
            && !value.is_null()
        {
            reply.insert(key, value.clone());
        }
    }
    cx.reply(reply);
    Ok(())
}

#[derive(Deserialize)]
struct Room {
    room: String,
}

impl Room {
    fn group(&self) -> String {
        format!("chat-{}", self.room)
    }
}

async fn chat_connect(Params(room): Params<Room>, cx: Context) -> Outcome {
    cx.accept();
    let group = cx.group(room.group())?;
    group.add(cx.reply_channel()?).await?;
    group.send(message! { "text" => "joined" });
    Ok(())
}

async fn chat_receive(Params(room): Params<Room>, Text(text): Text, cx: Context) -> Outcome {
    cx.group(room.group())?.send(message! { "text" => text });
    Ok(())
}

async fn chat_disconnect(Params(room): Params<Room>, cx: Context) -> Outcome {
    let group = cx.group(room.group())?;
    group.discard(cx.reply_channel()?).await?;
    group.send(message! { "text" => "left" });
    Ok(())
}

async fn say_in_room(cx: Context) -> Outcome {
    let room = Room {
        room: cx.message().text("room")?.to_string(),
    };
    let text = cx.message().text("text")?.clone();
    cx.group(room.group())?.send(message! { "text" => text });
    Ok(())
}
