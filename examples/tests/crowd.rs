//! The chat with many people in one room, all talking at once.

mod support;

use std::collections::BTreeMap;

use futures_util::{SinkExt as _, StreamExt as _};
use support::{LIMIT, Program, open};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

const GUESTS: usize = 100;
const LINES: usize = 10;

/// Which lines a guest has heard how often.
type Heard = BTreeMap<String, usize>;

#[tokio::test]
async fn a_burst_in_a_room_reaches_everybody() {
    let chat = Program::start(env!("CARGO_BIN_EXE_chat"), &["127.0.0.1:0"]);
    let mut sockets = Vec::new();
    for guest in 0..GUESTS {
        let path = format!("/chat/square/{guest}/");
        sockets.push(open(&chat, &path).await.expect("it is accepted"));
    }
    let mut listening = JoinSet::new();
    for (guest, socket) in sockets.into_iter().enumerate() {
        let (mut talk, mut listen) = socket.split();
        listening.spawn(async move {
            let said = async {
                for line in 0..LINES {
                    let text = format!("line {line} of {guest}.");
                    talk.send(Message::text(text)).await.expect("it is open");
                }
            };
            let heard = async {
                let mut heard = Heard::new();
                // In between there is news of who came.
                while heard.len() < GUESTS * LINES {
                    let next = timeout(LIMIT, listen.next()).await;
                    let frame = next
                        .unwrap_or_else(|_| panic!("{guest} heard but {}", heard.len()))
                        .expect("the connection stays open")
                        .expect("frames are well-formed");
                    let text = frame.to_text().expect("frames are text");
                    if text.contains("line ") {
                        *heard.entry(text.to_owned()).or_default() += 1;
                    }
                }
                heard
            };
            tokio::join!(said, heard).1
        });
    }
    while let Some(heard) = listening.join_next().await {
        let heard = heard.expect("nobody misses anything");
        assert!(
            heard.values().all(|count| *count == 1),
            "nothing comes twice"
        );
    }
}
