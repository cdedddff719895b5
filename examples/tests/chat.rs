//! The chat, talked to by WebSocket clients.

mod support;

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use support::{Program, Socket, next_json, open};
use tokio_tungstenite::tungstenite::{self, Message};

/// Somebody in a room.
struct Guest {
    name: &'static str,
    socket: Socket,
}

impl Guest {
    /// Enters `room` and waits for the news of it.
    async fn enter(chat: &Program, room: &str, name: &'static str) -> Self {
        let socket = open(chat, &format!("/chat/{room}/{name}/"))
            .await
            .expect("the handshake is accepted");
        let mut guest = Self { name, socket };
        assert_eq!(guest.next().await, json!({"kind": "join", "name": name}));
        guest
    }

    async fn say(&mut self, text: impl Into<String>) {
        let text: String = text.into();
        let sent = self.socket.send(Message::text(text)).await;
        sent.expect("the connection is open");
    }

    async fn next(&mut self) -> Value {
        next_json(&mut self.socket, self.name).await
    }
}

fn chat() -> Program {
    Program::start(env!("CARGO_BIN_EXE_chat"), &["127.0.0.1:0"])
}

fn message(name: &str, text: &str) -> Value {
    json!({"kind": "message", "name": name, "text": text})
}

#[tokio::test]
async fn everyone_in_a_room_gets_a_message_once() {
    let chat = chat();
    let mut ann = Guest::enter(&chat, "garden", "Ann").await;
    let mut bob = Guest::enter(&chat, "garden", "Bob").await;
    let mut cid = Guest::enter(&chat, "garden", "Cid").await;
    for name in ["Bob", "Cid"] {
        assert_eq!(ann.next().await, json!({"kind": "join", "name": name}));
    }
    assert_eq!(bob.next().await, json!({"kind": "join", "name": "Cid"}));

    for number in 0..20 {
        let text = format!("line {number}");
        bob.say(&text).await;
        for guest in [&mut ann, &mut bob, &mut cid] {
            assert_eq!(guest.next().await, message("Bob", &text));
        }
    }
}

#[tokio::test]
async fn a_room_does_not_hear_another() {
    let chat = chat();
    let mut ann = Guest::enter(&chat, "garden", "Ann").await;
    let mut eve = Guest::enter(&chat, "cellar", "Eve").await;
    ann.say("roses").await;
    assert_eq!(ann.next().await, message("Ann", "roses"));
    // Whatever went astray would have come before this.
    eve.say("potatoes").await;
    assert_eq!(eve.next().await, message("Eve", "potatoes"));
    ann.say("tulips").await;
    assert_eq!(ann.next().await, message("Ann", "tulips"));
}

#[tokio::test]
async fn the_others_are_told_who_leaves() {
    let chat = chat();
    let mut ann = Guest::enter(&chat, "garden", "Ann").await;
    let mut bob = Guest::enter(&chat, "garden", "Bob").await;
    assert_eq!(ann.next().await, json!({"kind": "join", "name": "Bob"}));

    bob.socket.close(None).await.expect("a close frame is sent");
    assert_eq!(ann.next().await, json!({"kind": "leave", "name": "Bob"}));

    // Without a word, as when a machine goes to sleep.
    let cid = Guest::enter(&chat, "garden", "Cid").await;
    assert_eq!(ann.next().await, json!({"kind": "join", "name": "Cid"}));
    drop(cid);
    assert_eq!(ann.next().await, json!({"kind": "leave", "name": "Cid"}));
}

#[tokio::test]
async fn names_and_texts_may_be_in_any_script() {
    let chat = chat();
    let socket = open(&chat, "/chat/garden/Zo%C3%AB%20%26%20co/")
        .await
        .expect("the handshake is accepted");
    let name = "Zoë & co";
    let mut zoe = Guest { name, socket };
    assert_eq!(zoe.next().await, json!({"kind": "join", "name": name}));
    for text in ["<b>\"bold\"</b>", "Grüße 👋", "two\nlines"] {
        zoe.say(text).await;
        assert_eq!(zoe.next().await, message(name, text));
    }
}

#[tokio::test]
async fn what_is_no_message_is_ignored_and_what_is_too_long_is_cut() {
    let chat = chat();
    let mut ann = Guest::enter(&chat, "garden", "Ann").await;
    ann.say("").await;
    ann.say(" \n ").await;
    let binary = Message::binary(b"\x00\xff".as_slice());
    ann.socket.send(binary).await.expect("it is sent");
    ann.say(format!("  {}  ", "ä".repeat(3000))).await;
    assert_eq!(ann.next().await, message("Ann", &"ä".repeat(2000)));
}

#[tokio::test]
async fn only_rooms_can_be_entered() {
    let chat = chat();
    for path in [
        "/",
        "/chat/garden/",
        "/chat/gar%20den/Ann/",
        "/chat/garden/Ann/more/",
        "/elsewhere/garden/Ann/",
    ] {
        let Err(tungstenite::Error::Http(response)) = open(&chat, path).await else {
            panic!("{path} is no room");
        };
        assert_eq!(response.status(), 403, "{path}");
    }
    let too_long = format!("/chat/garden/{}/", "x".repeat(31));
    assert!(open(&chat, &too_long).await.is_err());
}

#[tokio::test]
async fn a_crowd_hears_everything() {
    const GUESTS: usize = 40;
    let chat = chat();
    let mut crowd = Vec::new();
    for _ in 0..GUESTS {
        crowd.push(Guest::enter(&chat, "square", "Anyone").await);
    }
    // Everybody has seen the guests who came later.
    for (number, guest) in crowd.iter_mut().enumerate() {
        for _ in number + 1..GUESTS {
            assert_eq!(
                guest.next().await,
                json!({"kind": "join", "name": "Anyone"})
            );
        }
    }
    for text in ["one", "two", "three"] {
        crowd[0].say(text).await;
        for guest in &mut crowd {
            assert_eq!(guest.next().await, message("Anyone", text));
        }
    }
}
