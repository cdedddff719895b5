//! What the load runs against; each server is the whole of a child process.

mod axum;
mod separate;
mod stack;
mod tungstenite;

use std::net::SocketAddr;

use ::axum::Router;
use ::axum::body::Body;
use ::axum::http::StatusCode;
use ::axum::routing::{get, post};
use channels::management::{RunserverOptions, ServerAddress};
use futures_util::StreamExt as _;
use tokio::io::AsyncReadExt as _;

use crate::Result;
use crate::options::Side;

/// What `GET /` answers.
pub(crate) const GREETING: &str = "Hello, world!";

/// daphne's options for a measurement.
fn server_options() -> RunserverOptions {
    RunserverOptions::new()
        .address(ServerAddress::new("127.0.0.1", 0))
        .console(false)
        .on_listening(|addresses| addresses.iter().copied().for_each(announce))
}

/// Serves as `side` until standard input ends, and says on standard output where.
pub(crate) async fn serve(side: Side) -> Result<()> {
    match side {
        Side::Stack => stack::serve(parent_is_gone()).await,
        Side::Separate => separate::serve(parent_is_gone()).await,
        Side::Worker => separate::work(parent_is_gone()).await,
        Side::Axum => axum::serve(parent_is_gone()).await,
        Side::Tungstenite => tungstenite::serve(parent_is_gone()).await,
    }
}

/// The HTTP application of both sides of the comparison.
fn router() -> Router {
    Router::new()
        .route("/", get(async || GREETING))
        .route("/upload", post(count))
}

/// Answers how long the body was, in bytes, and keeps none of it.
async fn count(body: Body) -> Result<String, StatusCode> {
    let mut stream = body.into_data_stream();
    let mut length = 0;
    while let Some(chunk) = stream.next().await {
        length += chunk.map_err(|_| StatusCode::BAD_REQUEST)?.len();
    }
    Ok(length.to_string())
}

fn announce(address: SocketAddr) {
    println!("{address}");
}

async fn parent_is_gone() {
    // Nothing is ever written there; an error is an end as well.
    let _ = tokio::io::stdin().read(&mut [0]).await;
}
