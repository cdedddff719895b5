//! The stream of frames over a socket, set up so that a WebSocket at rest occupies little.

use asgiref::ByteString;
use bytes::Bytes;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::io::Watched;
use crate::options::Options;

/// What one WebSocket always occupies; larger messages get a buffer of their own.
const READ_BUFFER: usize = 2 * 1024;

/// Up to how much is gathered before it is written.
const WRITE_BUFFER: usize = 16 * 1024;

/// The server's end of a WebSocket. `early` is what the client sent before it was accepted.
pub(super) async fn open(
    socket: Watched,
    early: &Bytes,
    options: &Options,
) -> WebSocketStream<Watched> {
    let config = Some(config(options));
    if early.is_empty() {
        WebSocketStream::from_raw_socket(socket, Role::Server, config).await
    } else {
        // A copy, because hyper's buffer would be kept otherwise, which is larger.
        WebSocketStream::from_partially_read(socket, early.to_vec(), Role::Server, config).await
    }
}

/// A short text as one of its own, so that it does not keep the read buffer alive, which then
/// could not be used again.
pub(super) fn own_text(text: Utf8Bytes) -> ByteString {
    if text.len() <= READ_BUFFER {
        return ByteString::from(text.as_str());
    }
    ByteString::try_from(Bytes::from(text)).expect("the text of a WebSocket is UTF-8")
}

pub(super) fn own_bytes(bytes: Bytes) -> Bytes {
    if bytes.len() <= READ_BUFFER {
        return Bytes::copy_from_slice(&bytes);
    }
    bytes
}

fn config(options: &Options) -> WebSocketConfig {
    let largest = options.websocket_queue.bytes;
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(largest.saturating_mul(2).max(2 * 1024 * 1024))
        .max_message_size(options.websocket_max_message_size)
        .max_frame_size(options.websocket_max_frame_size)
}
