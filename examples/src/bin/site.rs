//! A site of several processes: daphne holds the connections, this program does the work, Redis
//! is in between. Each is started, stopped and replaced without the others.
//!
//! In a terminal each, from an installed Redis (`apt-get install redis-server`):
//!
//! ```text
//! redis-server --port 6390 --save ''
//! cargo run -p daphne -- -p 8000 redis://127.0.0.1:6390/0
//! cargo run -p examples --bin site -- runworker --layer redis://127.0.0.1:6390/0
//! cargo run -p examples --bin site -- runworker --layer redis://127.0.0.1:6390/0
//! ```
//!
//! daphne says `Starting server at tcp:port=8000:interface=127.0.0.1, channel layer
//! RedisChannelLayer(127.0.0.1:6390).`, each worker `running worker against channel layer default
//! (RedisChannelLayer(127.0.0.1:6390))`. Open <http://127.0.0.1:8000/> and say something: the
//! answer begins with the version of the worker that gave it.
//!
//! Now new code ships. Stop the first worker with Ctrl-C and start it again with another version:
//!
//! ```text
//! SITE_VERSION=2 cargo run -p examples --bin site -- runworker --layer redis://127.0.0.1:6390/0
//! ```
//!
//! Half of the answers are from version 2, on the connection that was open all the time. Then the
//! same with the second worker: all are. With no worker at all, what is said waits for a minute. A
//! worker that is stopped finishes what it has begun, so nothing is lost or answered twice.
//!
//! daphne is restarted the same way: it closes its WebSockets with code 1001, browsers connect
//! again, and the workers do not notice.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use asgiref::message;
use axum::response::Html;
use axum::routing::get;
use channels::{Application, Context, Outcome, Router, Text, route};

const PAGE: &str = include_str!("../../static/site.html");

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let application = Application::builder()
        .router(routing())
        .http(axum::Router::new().route("/", get(page)))
        .build()?;
    Ok(examples::run(application)?)
}

fn routing() -> Router {
    Router::new().route(route("websocket.receive", ws_message))
}

async fn page() -> Html<String> {
    Html(PAGE.replace("{version}", &version()))
}

async fn ws_message(Text(text): Text, cx: Context) -> Outcome {
    let answer = format!("version {}: {text}", version());
    cx.reply(message! { "text" => answer });
    Ok(())
}

/// What differs between the code of today and that of tomorrow.
fn version() -> String {
    env::var("SITE_VERSION").unwrap_or_else(|_| "1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_tells_the_version() {
        let Html(page) = page().await;
        assert!(page.contains(&format!("Served by version {}", version())));
    }
}
