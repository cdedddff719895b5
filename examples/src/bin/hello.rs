//! The smallest consumer: it answers every HTTP request itself.
//!
//! Run with
//!
//! ```text
//! cargo run -p examples --bin hello
//! ```
//!
//! and open the address it prints, with any path.

use std::error::Error;
use std::process::ExitCode;

use axum::http::Response;
use channels::http::encode_response;
use channels::{Application, Context, Outcome, Router, route};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let application = Application::builder().router(routing()).build()?;
    Ok(examples::run(application)?)
}

fn routing() -> Router {
    Router::new().route(route("http.request", http_consumer))
}

async fn http_consumer(cx: Context) -> Outcome {
    // Make a standard HTTP response, from the path attribute of the message.
    let path = cx.message().text("path")?;
    let response = Response::new(format!("Hello world! You asked for {path}"));
    // Encode that response into messages, and send them.
    for message in encode_response(response) {
        cx.reply(message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use asgiref::protocol::http::{REQUEST, Request, Response};
    use asgiref::{ChannelLayer as _, ChannelName, InMemoryChannelLayer};
    use channels::Worker;

    use super::*;

    #[tokio::test]
    async fn every_request_is_told_its_path() -> Result<(), Box<dyn Error>> {
        let layer = Arc::new(InMemoryChannelLayer::new());
        let worker = Worker::builder(layer.clone(), routing()).build()?;
        let reply_channel = ChannelName::new("server.response!abc")?;
        let request = Request::new(reply_channel.clone(), "GET", "/some/where");
        layer.send(&REQUEST, request.into()).await?;
        assert!(worker.run_once().await?);

        let (channel, message) = layer.receive(&[reply_channel.to_non_local()]).await?;
        assert_eq!(channel, reply_channel);
        let response = Response::try_from(&message)?;
        assert_eq!(response.status, Some(200));
        assert_eq!(response.content, "Hello world! You asked for /some/where");
        assert!(!response.more_content);
        Ok(())
    }
}
