use std::future::Future;

use asgiref::message;
use channels::management::{RunserverOptions, ServerAddress, runserver};
use channels::{Application, Context, Outcome, Router, Text, route};

use crate::Result;

/// daphne, the in-memory layer and a worker in one process.
pub(super) async fn serve(shutdown: impl Future<Output = ()>) -> Result<()> {
    let application = Application::builder()
        .router(routing())
        .http(super::router())
        .build()?;
    let options = RunserverOptions::new()
        .address(ServerAddress::new("127.0.0.1", 0))
        .console(false)
        .on_listening(|addresses| addresses.iter().copied().for_each(super::announce));
    Ok(runserver(&application, options, shutdown).await?)
}

fn routing() -> Router {
    Router::new().route(route("websocket.receive", ws_message))
}

async fn ws_message(Text(text): Text, cx: Context) -> Outcome {
    cx.reply(message! { "text" => text });
    Ok(())
}
