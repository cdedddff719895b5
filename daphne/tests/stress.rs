//! Many clients of all kinds at once, on several threads: nothing is mixed up, nothing is left.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use asgiref::{ChannelName, LayerConfig, Message, message};
use support::app::App;
use support::client::Client;
use support::frames::Frame;
use support::server::TestServer;
use support::websocket::handshake;

const CLIENTS: usize = 60;
const EXCHANGES: usize = 50;

/// How many messages came on a channel.
#[derive(Debug, Default)]
struct Seen {
    connects: AtomicUsize,
    disconnects: AtomicUsize,
}

impl Seen {
    async fn consume(self: Arc<Self>, app: App, channel: ChannelName, message: Message) {
        match channel.as_str() {
            "http.request" => {
                let path = message.text("path").unwrap().to_string().into_bytes();
                app.reply(&message, message! { "status" => 200, "content" => path })
                    .await;
            }
            "websocket.connect" => {
                self.connects.fetch_add(1, Ordering::SeqCst);
                app.reply(&message, message! { "accept" => true }).await;
            }
            "websocket.receive" => {
                let text = message.text("text").unwrap().clone();
                app.reply(&message, message! { "text" => text }).await;
            }
            "websocket.disconnect" => {
                self.disconnects.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

/// Sends requests, sometimes several at once.
async fn request(addr: SocketAddr, number: usize) {
    let mut client = Client::connect(addr).await;
    for round in 0..EXCHANGES {
        let paths: Vec<String> = (0..=round % 3)
            .map(|at| format!("/{number}/{round}/{at}"))
            .collect();
        let requests: String = paths
            .iter()
            .map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .collect();
        client.send(requests).await;
        for path in paths {
            assert_eq!(client.response().await.body, path.into_bytes());
        }
    }
}

/// Sends frames and reads them back, and leaves in one of three ways.
async fn echo(addr: SocketAddr, number: usize) {
    let mut client = Client::connect(addr).await;
    client.send(handshake("/echo/", &[])).await;
    assert_eq!(client.head().await.status, 101);
    for round in 0..EXCHANGES {
        let frames: Vec<Frame> = (0..=round % 3)
            .map(|at| Frame::text(&format!("{number} {round} {at}")))
            .collect();
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::masked).collect();
        client.send(bytes).await;
        for frame in frames {
            assert_eq!(client.frame().await, frame);
        }
    }
    match number % 3 {
        0 => client.abort(),
        1 => drop(client),
        _ => {
            client.send(Frame::close(1000).masked()).await;
            client.frame().await;
            client.expect_end().await;
        }
    }
}

/// Begins something and vanishes.
async fn vanish(addr: SocketAddr, number: usize) {
    for round in 0..EXCHANGES {
        let mut client = Client::connect(addr).await;
        let begun = match (number + round) % 4 {
            0 => "GET /half HTTP/1.1\r\nHo".to_owned(),
            1 => "GET /gone HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            2 => "POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc".to_owned(),
            _ => handshake("/gone/", &[]),
        };
        client.send(begun).await;
        if round % 2 == 0 {
            client.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_of_all_kinds_at_once() {
    let config = LayerConfig::new().capacity(100_000);
    let server = TestServer::with_config(config, |builder| builder).await;
    let seen = Arc::new(Seen::default());
    let counters = Arc::clone(&seen);
    let _serving = server
        .app()
        .consume(support::app::CHANNELS, move |app, channel, message| {
            Arc::clone(&counters).consume(app, channel, message)
        });
    let addr = server.addr();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| match number % 3 {
            0 => tokio::spawn(request(addr, number)),
            1 => tokio::spawn(echo(addr, number / 3)),
            _ => tokio::spawn(vanish(addr, number)),
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    server.expect_idle().await;
    support::until("a disconnect for every connect", || {
        seen.connects.load(Ordering::SeqCst) == seen.disconnects.load(Ordering::SeqCst)
    })
    .await;
    assert!(seen.connects.load(Ordering::SeqCst) >= CLIENTS / 3);
    let statistics = server.statistics();
    assert_eq!(statistics.bad_replies, 0);
    assert_eq!(statistics.lost_disconnects, 0);
    assert_eq!(statistics.lost_frames, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_handshakes_on_a_small_reply_channel_is_accepted_to_the_last() {
    const HANDSHAKES: usize = 500;
    let config = LayerConfig::new()
        .capacity(HANDSHAKES)
        .channel_capacity("daphne.response.*!", 5)
        .unwrap();
    let server = TestServer::with_config(config, |builder| builder).await;
    // Each answer is sent by a task of its own, which waits while the channel is full.
    let _serving = server
        .app()
        .consume(["websocket.connect"], |app, _, connect| {
            tokio::spawn(async move { app.reply(&connect, message! { "accept" => true }).await });
            std::future::ready(())
        });
    let addr = server.addr();
    let clients: Vec<_> = (0..HANDSHAKES)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::connect(addr).await;
                client.send(handshake("/", &[])).await;
                assert_eq!(client.head().await.status, 101);
                client
            })
        })
        .collect();
    let mut open = Vec::new();
    for client in clients {
        open.push(client.await.unwrap());
    }
    assert_eq!(server.statistics().open_websockets, HANDSHAKES);
    assert_eq!(server.statistics().discarded_replies, 0);
}
