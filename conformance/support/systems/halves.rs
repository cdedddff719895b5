//! Each half of a site may be ours or Python's.

use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tokio_tungstenite::tungstenite::Message;

use super::client::{Http, Socket, answers};
use super::program::{Program, SiteSettings};
use crate::support::port::free_port;
use crate::support::process::Process;
use crate::support::typed::to_hex;
use crate::support::until;

/// Who made a half of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    Us,
    Python,
}

pub async fn daphne(maker: Maker, settings: &impl SiteSettings) -> (Process, u16) {
    match maker {
        Maker::Us => Program::daphne(settings),
        Maker::Python => {
            let port = free_port();
            let process = settings.python_site().daphne(port);
            until("Python's daphne to listen", || answers(port)).await;
            (process, port)
        }
    }
}

pub fn worker(maker: Maker, settings: &impl SiteSettings) -> Process {
    match maker {
        Maker::Us => Program::worker(settings),
        Maker::Python => settings.python_site().worker(),
    }
}

async fn check_site(port: u16) {
    check_http(port).await;
    check_echo(port).await;
    check_chat(port, port).await;
}

pub async fn check_http(port: u16) {
    let http = Http::new(port);
    let (status, body) = http.get("/hello").await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"Hello world!"[..]));

    for length in [0, 1, 1_000, 700_000] {
        let content: Bytes = (0..length)
            .map(|at| (at % 251) as u8)
            .collect::<Vec<_>>()
            .into();
        let (status, body) = http.post("/mirror?a=1&b=%C2%A3", content.clone()).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        let seen: Json = serde_json::from_slice(&body).expect("JSON");
        let sent = json!({
            "method": "POST",
            "path": "/mirror",
            "query": "a=1&b=%C2%A3",
            "header": "a value",
            "length": length,
            "sha256": to_hex(&Sha256::digest(&content)),
        });
        assert_eq!(seen, sent);
    }

    let (status, body) = http.get("/parts").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(&body[..], b"part 0\npart 1\npart 2\npart 3\npart 4\n");
    assert_eq!(http.get("/nowhere").await.0, StatusCode::NOT_FOUND);
}

async fn check_echo(port: u16) {
    let mut socket = Socket::open(port, "/echo/").await;
    let large = "£".repeat(50_000);
    // Python's daphne does not send empty texts on.
    for text in ["hello", "£ 😒", &large] {
        socket.say(text).await;
        assert_eq!(socket.hear().await, text);
    }
    for bytes in [&b"\x00\xff"[..], &[7; 100_000]] {
        socket.send(Message::binary(bytes.to_vec())).await;
        assert_eq!(&socket.next().await.into_data()[..], bytes);
    }
    socket.close().await;
}

/// Guests come in over two servers, which may be one and the same.
pub async fn check_chat(one: u16, other: u16) {
    static VISITS: AtomicU8 = AtomicU8::new(0);
    // Rooms of their own: that earlier guests left may still be on its way to those they were in.
    let visit = char::from(b'a' + VISITS.fetch_add(1, Ordering::Relaxed) % 26);
    let [garden, cellar] = ["garden", "cellar"].map(|room| format!("/chat/{room}{visit}/"));
    let mut ann = Socket::open(one, &garden).await;
    assert_eq!(ann.hear().await, "joined");
    let mut eve = Socket::open(one, &cellar).await;
    assert_eq!(eve.hear().await, "joined");
    let mut bob = Socket::open(other, &garden).await;
    for guest in [&mut ann, &mut bob] {
        assert_eq!(guest.hear().await, "joined");
    }
    for number in 0..10 {
        let text = format!("line {number}");
        let speaker = if number % 2 == 0 { &mut ann } else { &mut bob };
        speaker.say(&text).await;
        for guest in [&mut ann, &mut bob] {
            assert_eq!(guest.hear().await, text);
        }
    }
    bob.close().await;
    assert_eq!(ann.hear().await, "left");
    // Whatever went astray would have come before this.
    eve.say("potatoes").await;
    assert_eq!(eve.hear().await, "potatoes");
    for guest in [ann, eve] {
        guest.close().await;
    }
}

/// A site of two halves works.
pub async fn check_together(daphne_by: Maker, worker_by: Maker, settings: &impl SiteSettings) {
    let (_daphne, port) = daphne(daphne_by, settings).await;
    let _worker = worker(worker_by, settings);
    check_site(port).await;
}

/// As while a site moves from one to the other: everything is there twice.
pub async fn check_both(settings: &impl SiteSettings) {
    let (_ours, here) = daphne(Maker::Us, settings).await;
    let (_theirs, there) = daphne(Maker::Python, settings).await;
    let _workers = [Maker::Us, Maker::Python].map(|maker| worker(maker, settings));
    for port in [here, there] {
        check_http(port).await;
    }
    // Which worker takes which message is not said, so only the guests of a chat keep the order.
    check_chat(here, there).await;
    check_chat(there, here).await;
}
