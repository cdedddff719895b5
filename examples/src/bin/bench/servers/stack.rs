use std::future::Future;

use asgiref::message;
use channels::management::runserver;
use channels::{Application, Context, Outcome, Router, Text, route};

use crate::Result;

/// daphne, the in-memory layer and a worker in one process.
pub(super) async fn serve(shutdown: impl Future<Output = ()>) -> Result<()> {
    let application = Application::builder()
        .router(routing())
        .http(super::router())
        .build()?;
    Ok(runserver(&application, super::server_options(), shutdown).await?)
}

fn routing() -> Router {
    Router::new().route(route("websocket.receive", ws_message))
}

async fn ws_message(Text(text): Text, cx: Context) -> Outcome {
    cx.reply(message! { "text" => text });
    Ok(())
}
