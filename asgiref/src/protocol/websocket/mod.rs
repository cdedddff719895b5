//! WebSocket connections ([ASGI: WebSocket]).
//!
//! [ASGI: WebSocket]: https://channels.readthedocs.io/en/1.x/asgi/www.html#websocket

mod close;
mod connection;
mod frame;
mod reply;

use crate::name::ChannelName;

pub use close::{ABNORMAL_CLOSURE, NORMAL_CLOSURE, is_valid_close_code};
pub use connection::{Connect, Disconnect, Receive};
pub use frame::Frame;
pub use reply::Reply;

/// Where protocol servers send [`Connect`]s.
pub const CONNECT: ChannelName = ChannelName::from_static("websocket.connect");

/// Where protocol servers send [`Receive`]s.
pub const RECEIVE: ChannelName = ChannelName::from_static("websocket.receive");

/// Where protocol servers send [`Disconnect`]s.
pub const DISCONNECT: ChannelName = ChannelName::from_static("websocket.disconnect");
