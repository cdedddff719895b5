//! The chat in several processes: a protocol server and two workers that share nothing but a
//! channel layer.

mod support;

use std::process::{Child, Command, Stdio};

use futures_util::SinkExt as _;
use serde_json::json;
use support::{Program, Socket, next_json, open};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

const CHAT: &str = env!("CARGO_BIN_EXE_chat");

/// A worker; killed when this value is dropped.
struct Worker(Child);

impl Worker {
    fn start(layer: &str) -> Self {
        let child = Command::new(CHAT)
            .args(["runworker", "--layer", layer])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the worker starts"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An error here means that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn workers_come_and_go_while_browsers_stay_connected() {
    let directory = TempDir::new().expect("a temporary directory");
    let layer = format!("ipc:chat?directory={}", directory.path().display());
    let arguments = ["runserver", "--noworker", "--layer", &layer, "127.0.0.1:0"];
    let server = Program::start(CHAT, &arguments);
    let first = Worker::start(&layer);
    let second = Worker::start(&layer);

    let mut ann = enter(&server, "Ann").await;
    let mut bob = enter(&server, "Bob").await;
    hear(&mut ann, &json!({"kind": "join", "name": "Bob"})).await;
    for number in 0..50 {
        exchange(&mut ann, &mut bob, number).await;
    }
    drop(first);
    for number in 50..100 {
        exchange(&mut ann, &mut bob, number).await;
    }
    drop(second);
    // It waits until there is a worker again.
    let _third = Worker::start(&layer);
    exchange(&mut ann, &mut bob, 100).await;
}

async fn enter(server: &Program, name: &str) -> Socket {
    let opened = open(server, &format!("/chat/garden/{name}/")).await;
    let mut socket = opened.expect("the handshake is accepted");
    hear(&mut socket, &json!({"kind": "join", "name": name})).await;
    socket
}

/// Ann says something, and both hear it.
async fn exchange(ann: &mut Socket, bob: &mut Socket, number: usize) {
    let text = format!("line {number}");
    let sent = ann.send(Message::text(text.clone())).await;
    sent.expect("the connection is open");
    let message = json!({"kind": "message", "name": "Ann", "text": text});
    hear(ann, &message).await;
    hear(bob, &message).await;
}

async fn hear(socket: &mut Socket, expected: &serde_json::Value) {
    assert_eq!(next_json(socket, "a guest").await, *expected);
}
