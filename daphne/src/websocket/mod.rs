//! WebSockets: the handshake, which waits for the application, and the session after it.

mod codes;
mod connect;
mod forward;
mod handshake;
mod keepalive;
mod presence;
mod session;
mod stream;

use asgiref::protocol::websocket::Reply;

use presence::Presence;

pub(crate) use connect::connect;
pub(crate) use handshake::is_handshake;
pub(crate) use session::{Start, run};

/// A WebSocket the application has accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    presence: Presence,
    /// What came with the acceptance: the first frame, or the end.
    reply: Reply,
}
