//! A vote: state, frames in JSON, middleware, a channel of one's own, and a consumer that is a
//! plain function.
//!
//! Run with
//!
//! ```text
//! cargo run -p examples --bin vote
//! ```
//!
//! then open the address it prints in a browser, whatever page it shows, and type into the
//! console of the developer tools:
//!
//! ```text
//! socket = new WebSocket("ws://" + location.host + "/");
//! socket.onmessage = (e) => console.log(e.data);
//! socket.onopen = () => socket.send(JSON.stringify({choice: "tea"}));
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use asgiref::protocol::websocket::Connect;
use channels::{
    Application, ConsumerError, Content, Context, Json, Message, Next, Outcome, Router, State,
    from_fn, route, sync,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let application = Application::builder()
        .router(routing(Ballot::new(["coffee", "tea", "water"])))
        .build()?;
    Ok(examples::run(application)?)
}

fn routing(ballot: Ballot) -> Router {
    Router::new()
        .route(route("websocket.connect", ws_connect).with(from_fn(same_origin)))
        .route(route("websocket.receive", ws_vote))
        .route(route("websocket.disconnect", ws_disconnect))
        .route(route("votes", sync(count)))
        .with_state(ballot)
}

/// What all consumers of this process share. Another worker process would have a count of its own;
/// a site with several keeps it in a database, and a handle to that here.
#[derive(Clone)]
struct Ballot {
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Ballot {
    fn new<const N: usize>(choices: [&str; N]) -> Self {
        let counts = choices.map(|choice| (choice.to_owned(), 0)).into();
        Self {
            counts: Arc::new(Mutex::new(counts)),
        }
    }

    fn choices(&self) -> Vec<String> {
        self.with_counts(|counts| counts.keys().cloned().collect())
    }

    /// The counts after one more for `choice`, if that is one.
    fn count(&self, choice: &str) -> Option<BTreeMap<String, u64>> {
        self.with_counts(|counts| {
            *counts.get_mut(choice)? += 1;
            Some(counts.clone())
        })
    }

    fn with_counts<T>(&self, f: impl FnOnce(&mut BTreeMap<String, u64>) -> T) -> T {
        f(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A frame from a voter, and the message it becomes.
#[derive(Serialize, Deserialize)]
struct Vote {
    choice: String,
}

/// Browsers let any page open a WebSocket to any site, and say which page it was. This lets in
/// those of our own, and programs, which say nothing.
async fn same_origin(cx: Context, next: Next<'_>) -> Outcome {
    let connect = Connect::try_from(cx.message())?;
    if let Some(origin) = connect.headers.get("origin") {
        let host = connect.headers.get("host");
        let of_origin = origin.splitn(3, |byte| *byte == b'/').nth(2);
        if of_origin != host.map(|host| &**host) {
            return Err(ConsumerError::DenyConnection);
        }
    }
    next.run(cx).await
}

async fn ws_connect(State(ballot): State<Ballot>, cx: Context) -> Outcome {
    cx.group("voters")?.add(cx.reply_channel()?).await?;
    cx.accept();
    cx.reply(Json(json!({"choices": ballot.choices()})).to_message()?);
    Ok(())
}

/// `Option`, because a frame that is no vote is to be answered; with `Json<Vote>` alone it would
/// only be logged.
async fn ws_vote(vote: Option<Json<Vote>>, cx: Context) -> Outcome {
    match vote {
        Some(Json(vote)) => cx.channel("votes")?.send(Message::from_serialize(&vote)?),
        None => cx.reply(Json(json!({"error": "this is not a vote"})).to_message()?),
    }
    Ok(())
}

async fn ws_disconnect(cx: Context) -> Outcome {
    cx.group("voters")?.discard(cx.reply_channel()?).await?;
    Ok(())
}

/// Counts a vote, whoever sent it: a frame, or another program over the channel layer. It may
/// block, as it would with a file or a database: it runs on a thread for that.
#[expect(
    clippy::needless_pass_by_value,
    reason = "consumers have their arguments by value"
)]
fn count(Content(vote): Content<Vote>, State(ballot): State<Ballot>, cx: Context) -> Outcome {
    if let Some(counts) = ballot.count(&vote.choice) {
        cx.group("voters")?.send(Json(counts).to_message()?);
    }
    Ok(())
}
