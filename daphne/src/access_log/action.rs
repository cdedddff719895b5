use std::fmt;
use std::time::Duration;

use asgiref::protocol::Address;

/// Something that happened on a connection and that a log may want to know.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Action<'a> {
    /// A response is complete.
    #[non_exhaustive]
    HttpComplete {
        /// The client, where it is known.
        client: Option<&'a Address>,
        /// The method as the client wrote it.
        method: &'a str,
        /// Path and query string as the client wrote them.
        target: &'a str,
        /// The response's status code.
        status: u16,
        /// Bytes of the response's body.
        size: u64,
        /// From the arrival of the request's head to the end of the response.
        duration: Duration,
    },
    /// A WebSocket waits to be accepted.
    #[non_exhaustive]
    WebsocketConnecting {
        /// The client, where it is known.
        client: Option<&'a Address>,
        /// The path as the client wrote it.
        path: &'a str,
    },
    /// A WebSocket was not accepted.
    #[non_exhaustive]
    WebsocketRejected {
        /// The client, where it is known.
        client: Option<&'a Address>,
        /// The path as the client wrote it.
        path: &'a str,
    },
    /// A WebSocket was accepted.
    #[non_exhaustive]
    WebsocketConnected {
        /// The client, where it is known.
        client: Option<&'a Address>,
        /// The path as the client wrote it.
        path: &'a str,
    },
    /// A WebSocket, accepted or not, is gone.
    #[non_exhaustive]
    WebsocketDisconnected {
        /// The client, where it is known.
        client: Option<&'a Address>,
        /// The path as the client wrote it.
        path: &'a str,
        /// The close code.
        code: u16,
    },
}

/// Receives what happens on the connections of a server.
///
/// Called from the connections' tasks: it must not block, and should be quick.
pub trait ActionLogger: fmt::Debug + Send + Sync + 'static {
    /// Takes note of `action`.
    fn log(&self, action: &Action<'_>);
}

impl<'a> Action<'a> {
    /// `http` or `websocket`.
    #[must_use]
    pub const fn protocol(&self) -> &'static str {
        match self {
            Self::HttpComplete { .. } => "http",
            _ => "websocket",
        }
    }

    /// What happened: `complete`, `connecting`, `rejected`, `connected` or `disconnected`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::HttpComplete { .. } => "complete",
            Self::WebsocketConnecting { .. } => "connecting",
            Self::WebsocketRejected { .. } => "rejected",
            Self::WebsocketConnected { .. } => "connected",
            Self::WebsocketDisconnected { .. } => "disconnected",
        }
    }

    /// The client, where it is known.
    #[must_use]
    pub const fn client(&self) -> Option<&'a Address> {
        match self {
            Self::HttpComplete { client, .. }
            | Self::WebsocketConnecting { client, .. }
            | Self::WebsocketRejected { client, .. }
            | Self::WebsocketConnected { client, .. }
            | Self::WebsocketDisconnected { client, .. } => *client,
        }
    }
}

/// The part of a log line between the quotation marks: `GET /index.html`, `WSCONNECT /chat`.
impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HttpComplete { method, target, .. } => write!(f, "{method} {target}"),
            Self::WebsocketConnecting { path, .. } => write!(f, "WSCONNECTING {path}"),
            Self::WebsocketRejected { path, .. } => write!(f, "WSREJECT {path}"),
            Self::WebsocketConnected { path, .. } => write!(f, "WSCONNECT {path}"),
            Self::WebsocketDisconnected { path, .. } => write!(f, "WSDISCONNECT {path}"),
        }
    }
}
