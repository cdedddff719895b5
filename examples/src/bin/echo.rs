//! A WebSocket that says back what it is told, to the one who said it.
//!
//! Run with
//!
//! ```text
//! cargo run -p examples --bin echo
//! ```
//!
//! then open the address it prints in a browser, whatever page it shows, and type into the
//! console of the developer tools:
//!
//! ```text
//! socket = new WebSocket("ws://" + location.host + "/chat/");
//! socket.onmessage = (e) => alert(e.data);
//! socket.onopen = () => socket.send("hello world");
//! ```

use std::error::Error;
use std::process::ExitCode;

use asgiref::message;
use channels::{Application, Context, Outcome, Router, Text, route};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let application = Application::builder().router(routing()).build()?;
    Ok(examples::run(application)?)
}

fn routing() -> Router {
    Router::new().route(route("websocket.receive", ws_message))
}

async fn ws_message(Text(text): Text, cx: Context) -> Outcome {
    // A message with the key `text` is a text frame, whether it was received or is to be sent.
    cx.reply(message! { "text" => text });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use asgiref::protocol::websocket::{Frame, RECEIVE, Receive};
    use asgiref::{ChannelLayer as _, ChannelName, InMemoryChannelLayer};
    use channels::Worker;

    use super::*;

    #[tokio::test]
    async fn what_was_said_comes_back_to_the_one_who_said_it() -> Result<(), Box<dyn Error>> {
        let layer = Arc::new(InMemoryChannelLayer::new());
        let worker = Worker::builder(layer.clone(), routing()).build()?;
        for (local, text) in [("one", "hello world"), ("two", "")] {
            let reply_channel = ChannelName::new(format!("server.response!{local}"))?;
            let frame = Receive {
                reply_channel: reply_channel.clone(),
                path: "/chat/".into(),
                frame: Frame::Text(text.into()),
                order: 1,
            };
            layer.send(&RECEIVE, frame.into()).await?;
            assert!(worker.run_once().await?);

            let (channel, message) = layer.receive(&[reply_channel.to_non_local()]).await?;
            assert_eq!(channel, reply_channel);
            assert_eq!(message, message! { "text" => text });
        }
        Ok(())
    }
}
