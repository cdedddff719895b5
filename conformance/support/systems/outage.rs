//! A site whose servers go away and come back empty.

use axum::http::StatusCode;

use super::client::{Http, Socket};
use super::program::{Program, SiteSettings};
use crate::support::within;

const SOCKETS: usize = 50;

/// Sockets and processes outlive restarts of what is between them.
pub async fn check_outages(settings: &impl SiteSettings, mut restart: impl FnMut()) {
    let (mut daphne, port) = Program::daphne(settings);
    let mut worker = Program::worker(settings);
    let http = Http::new(port);
    assert_eq!(http.get("/hello").await.0, StatusCode::OK);
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(Socket::open(port, "/echo/").await);
    }
    for _ in 0..2 {
        restart();
        within("an answer", async {
            // Requests of this moment may be refused, or get no answer because they were lost.
            while http.try_get("/hello").await != Some(StatusCode::OK) {}
        })
        .await;
        for (number, socket) in sockets.iter_mut().enumerate() {
            let text = format!("still there {number}");
            socket.say(&text).await;
            assert_eq!(socket.hear().await, text);
        }
    }
    assert!(daphne.is_running() && worker.is_running());
    for socket in sockets {
        socket.close().await;
    }
    // Rooms work again for those who enter.
    let mut ann = Socket::open(port, "/chat/garden/").await;
    assert_eq!(ann.hear().await, "joined");
}
