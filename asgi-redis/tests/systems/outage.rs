//! A site whose Redis goes away and comes back empty.

use axum::http::StatusCode;

use crate::support::pair::Settings;
use crate::support::server::RedisServer;
use crate::support::within;
use crate::systems::client::{Http, Socket};
use crate::systems::program::Program;

const SOCKETS: usize = 50;

#[tokio::test]
async fn sockets_and_processes_outlive_a_restart_of_redis() {
    let mut server = RedisServer::start();
    let settings = Settings::on([&server]).capacity(1_000);
    let (mut daphne, port) = Program::daphne(&settings);
    let mut worker = Program::worker(&settings);
    let http = Http::new(port);
    assert_eq!(http.get("/hello").await.0, StatusCode::OK);
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(Socket::open(port, "/echo/").await);
    }
    for _ in 0..2 {
        server.restart();
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
