//! The last that a client hears of a connection that hyper has left.

use std::time::Duration;

use chrono::Utc;
use hyper::header::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::http::pages::{self, Page};
use crate::io::Socket;

/// How much of what a client still sends is read after the last response, and for how long, so
/// that the response is not lost in a reset.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Answers with `page`, which hyper could not, and ends the connection.
pub(super) async fn dismiss(mut socket: Socket, page: Page, server_name: Option<&HeaderValue>) {
    let response = response(page, server_name);
    if let Ok(Ok(())) = timeout(LINGER_TIME, socket.write_all(&response)).await {
        linger(socket).await;
    }
}

/// Ends a connection whose client may still be sending: closing it at once would reset it, and the
/// client might lose the answer.
pub(super) async fn linger(mut socket: Socket) {
    let read = async {
        if socket.shutdown().await.is_err() {
            return;
        }
        let mut buffer = [0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(count @ 1..) = socket.read(&mut buffer).await {
            left = left.saturating_sub(count);
            if left == 0 {
                break;
            }
        }
    };
    // Whether the client ended or the time did, there is nothing more to be done.
    let _ = timeout(LINGER_TIME, read).await;
}

/// The bytes of a last response.
fn response(page: Page, server_name: Option<&HeaderValue>) -> Vec<u8> {
    let html = page.html();
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let mut response = format!("HTTP/1.1 {}\r\n", page.status).into_bytes();
    for (name, value) in [
        ("content-type", pages::HTML.as_bytes()),
        ("content-length", html.len().to_string().as_bytes()),
        ("connection", b"close"),
        ("date", date.to_string().as_bytes()),
    ]
    .into_iter()
    .chain(server_name.map(|name| ("server", name.as_bytes())))
    {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            response.extend_from_slice(part);
        }
    }
    response.extend_from_slice(b"\r\n");
    response.extend_from_slice(html.as_bytes());
    response
}
