//! Opening WebSockets over raw bytes.

use asgiref::{Message, message};

use super::app::App;
use super::client::Client;
use super::http::Head;
use super::server::TestServer;

/// The key of the opening handshake used here, and what the server must make of it.
pub const KEY: &str = "x3JJHMbDL1EzLkh9GBhXDw==";
pub const ACCEPT: &str = "HSmrc0sMlYUkAGmm5OPpG2HaGWk=";

/// An opening handshake for `path`, with further header lines (`"Name: value"`).
pub fn handshake(path: &str, further: &[&str]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    for line in further {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request
}

/// An accepted WebSocket, seen from both ends.
#[derive(Debug)]
pub struct Socket {
    pub client: Client,
    pub app: App,
    /// The `websocket.connect` message.
    pub connect: Message,
    /// The server's answer to the handshake.
    pub head: Head,
}

impl Socket {
    /// Opens a WebSocket at `/chat/`.
    pub async fn open(server: &TestServer) -> Self {
        Self::open_with(server, &handshake("/chat/", &[])).await
    }

    /// Sends `handshake`, which the application accepts.
    pub async fn open_with(server: &TestServer, handshake: &str) -> Self {
        let app = server.app();
        let mut client = server.connect().await;
        client.send(handshake).await;
        let connect = app.next("websocket.connect").await;
        app.reply(&connect, message! { "accept" => true }).await;
        let head = client.head().await;
        assert_eq!(head.status, 101, "the application accepted: {head:?}");
        Self {
            client,
            app,
            connect,
            head,
        }
    }

    /// Sends `reply` from the application.
    pub async fn reply(&self, reply: Message) {
        self.app.reply(&self.connect, reply).await;
    }

    /// The next `websocket.receive` message.
    pub async fn received(&self) -> Message {
        self.app.next("websocket.receive").await
    }

    /// The `websocket.disconnect` message of this connection.
    pub async fn disconnect(&self) -> Message {
        let message = self.app.next("websocket.disconnect").await;
        assert_eq!(
            message.text("reply_channel").unwrap(),
            self.connect.text("reply_channel").unwrap(),
            "the disconnect message names another connection"
        );
        message
    }

    /// Checks that nothing else was sent to the client: the next frame is one sent now.
    pub async fn expect_silence_then_alive(&mut self) {
        self.reply(message! { "text" => "still open" }).await;
        let frame = self.client.frame().await;
        assert_eq!(frame, super::frames::Frame::text("still open"));
    }
}
