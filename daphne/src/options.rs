use std::path::PathBuf;
use std::time::Duration;

use bytestring::ByteString;
use hyper::header::HeaderValue;

use crate::proxy_headers::TrustedProxies;
use crate::replies::Limits;

/// When `http.disconnect` is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectMessages {
    /// Only if the client went away before its response was complete: what long polling and
    /// streaming need to know. The default.
    #[default]
    Early,
    /// After every request, as the Python program does. Costs one more message for each
    /// request; while nobody consumes `http.disconnect`, that channel is always full.
    Always,
}

/// How many header fields hyper takes without being told, and more cheaply than if it is.
pub(crate) const HYPER_MAX_HEADERS: usize = 100;

/// How long a WebSocket may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebsocketTimeout {
    /// As long as a membership lasts in the layer's groups.
    GroupExpiry,
    After(Duration),
    Never,
}

/// All that a server can be told, with the defaults; the builder documents each of them.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) http_timeout: Duration,
    pub(crate) response_idle_timeout: Option<Duration>,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) header_read_timeout: Duration,
    pub(crate) body_read_timeout: Duration,
    pub(crate) body_min_rate: u32,
    pub(crate) send_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) shutdown_read_timeout: Duration,
    pub(crate) max_header_size: usize,
    pub(crate) max_headers: usize,
    pub(crate) max_request_body: Option<u64>,
    pub(crate) inline_body_size: usize,
    pub(crate) body_chunk_size: usize,
    pub(crate) response_queue: Limits,
    pub(crate) response_spool: u64,
    pub(crate) total_spool: u64,
    pub(crate) spool_directory: Option<PathBuf>,
    pub(crate) websocket_queue: Limits,
    pub(crate) max_connections: Option<usize>,
    pub(crate) disconnect_messages: DisconnectMessages,
    pub(crate) server_name: Option<HeaderValue>,
    pub(crate) root_path: ByteString,
    pub(crate) proxy_headers: bool,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) websocket_timeout: WebsocketTimeout,
    pub(crate) websocket_connect_timeout: Option<Duration>,
    pub(crate) websocket_handshake_timeout: Option<Duration>,
    pub(crate) websocket_close_timeout: Duration,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) ping_timeout: Duration,
    pub(crate) ws_protocols: Vec<String>,
    pub(crate) websocket_max_message_size: Option<usize>,
    pub(crate) websocket_max_frame_size: Option<usize>,
    pub(crate) websocket_retry_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            http_timeout: Duration::from_secs(120),
            response_idle_timeout: Some(Duration::from_secs(120)),
            keep_alive_timeout: Duration::from_secs(60),
            header_read_timeout: Duration::from_secs(30),
            body_read_timeout: Duration::from_secs(60),
            body_min_rate: 100,
            send_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(30),
            shutdown_read_timeout: Duration::from_secs(5),
            max_header_size: 64 * 1024,
            max_headers: HYPER_MAX_HEADERS,
            max_request_body: None,
            inline_body_size: 64 * 1024,
            body_chunk_size: 64 * 1024,
            response_queue: Limits {
                messages: 4096,
                bytes: 2 * 1024 * 1024,
            },
            response_spool: 1024 * 1024 * 1024,
            total_spool: 8 * 1024 * 1024 * 1024,
            spool_directory: None,
            websocket_queue: Limits {
                messages: 4096,
                bytes: 4 * 1024 * 1024,
            },
            max_connections: None,
            disconnect_messages: DisconnectMessages::default(),
            server_name: None,
            root_path: ByteString::new(),
            proxy_headers: false,
            trusted_proxies: TrustedProxies::default(),
            websocket_timeout: WebsocketTimeout::GroupExpiry,
            websocket_connect_timeout: Some(Duration::from_secs(5)),
            websocket_handshake_timeout: None,
            websocket_close_timeout: Duration::from_secs(1),
            ping_interval: Some(Duration::from_secs(20)),
            ping_timeout: Duration::from_secs(30),
            ws_protocols: Vec::new(),
            websocket_max_message_size: Some(1024 * 1024),
            websocket_max_frame_size: Some(1024 * 1024),
            websocket_retry_timeout: Duration::from_secs(5),
        }
    }
}
