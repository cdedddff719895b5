use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use asgiref::ChannelLayer;
use hyper::header::HeaderValue;
use tokio::runtime::Handle;

use crate::access_log::{AccessLog, ActionLogger};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::options::{DisconnectMessages, Options, WebsocketTimeout};
use crate::replies::Limits;
use crate::server::{Server, Source};

/// The least hyper needs to work with.
const SMALLEST_HEADER_SIZE: usize = 8 * 1024;

/// What fits into one message of any layer with room to spare, even as text.
const LARGEST_CHUNK: usize = 512 * 1024;

/// Configures a [`Server`]; made by [`Server::builder`].
///
/// Every option has a default that is fit for use; only something to listen on must be given.
/// Nothing fails before [`build`](Self::build).
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ServerBuilder {
    layer: Arc<dyn ChannelLayer>,
    sources: Vec<Source>,
    options: Options,
    trusted_proxies: Vec<String>,
    server_name: Option<String>,
    actions: Option<Arc<dyn ActionLogger>>,
    runtimes: Vec<Handle>,
}

impl ServerBuilder {
    pub(crate) fn new(layer: Arc<dyn ChannelLayer>) -> Self {
        Self {
            layer,
            sources: Vec::new(),
            options: Options::default(),
            trusted_proxies: Vec::new(),
            server_name: None,
            actions: None,
            runtimes: Vec::new(),
        }
    }

    // ---- Where to listen

    /// Listens on `endpoint` too; it is opened by [`Server::bind`].
    pub fn endpoint(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.sources.push(Source::Endpoint(endpoint.into()));
        self
    }

    /// Listens on a socket that is already open too.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.sources.push(Source::Tcp(listener));
        self
    }

    /// Listens on a Unix socket that is already open too. Its file is left to the caller.
    pub fn unix_listener(mut self, listener: UnixListener) -> Self {
        self.sources.push(Source::Unix(listener));
        self
    }

    /// How many connections may be open; further ones wait to be accepted. Unlimited by default,
    /// that is, limited by the number of files the process may open.
    pub fn max_connections(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.options.max_connections = limit.into();
        self
    }

    /// The runtimes connections are served on, one after the other. Default: the one the server
    /// runs on.
    ///
    /// A connection stays on its runtime. Several runtimes of one thread each serve more than one
    /// runtime of several threads, because nothing moves from one processor to another; but what
    /// keeps a thread busy holds all its connections up. They must have I/O and time enabled, and
    /// be there until the server has ended.
    pub fn connections_on(mut self, runtimes: impl IntoIterator<Item = Handle>) -> Self {
        self.runtimes = runtimes.into_iter().collect();
        self
    }

    // ---- HTTP

    /// How long the application may take for the first message of a response, from the arrival
    /// of the request; then the client gets a 503. 120 seconds by default.
    pub fn http_timeout(mut self, timeout: Duration) -> Self {
        self.options.http_timeout = timeout;
        self
    }

    /// How long the application may take between two messages of a response; then the connection
    /// is reset. 120 seconds by default; `None` for streams that may be silent for any time.
    pub fn response_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.response_idle_timeout = timeout.into();
        self
    }

    /// How long a connection may wait for a request to begin. 60 seconds by default.
    pub fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.options.keep_alive_timeout = timeout;
        self
    }

    /// How long the head of a request may take to arrive; then the client gets a 408. 30 seconds
    /// by default.
    pub fn header_read_timeout(mut self, timeout: Duration) -> Self {
        self.options.header_read_timeout = timeout;
        self
    }

    /// In which time the body of a request must get on; if it does not, the client gets a 408.
    /// 60 seconds by default.
    ///
    /// It gets on when as much of it arrives as [`body_min_rate`](Self::body_min_rate) says. The
    /// time the application takes to receive what came before does not count.
    pub fn body_read_timeout(mut self, timeout: Duration) -> Self {
        self.options.body_read_timeout = timeout;
        self
    }

    /// How many bytes per second of a request's body must arrive, on the average of each
    /// [`body_read_timeout`](Self::body_read_timeout). 100 by default, that is 6,000 bytes in 60
    /// seconds; 0 if a single byte in that time is enough, with which a client can hold a
    /// connection for as long as it likes.
    pub fn body_min_rate(mut self, bytes_per_second: u32) -> Self {
        self.options.body_min_rate = bytes_per_second;
        self
    }

    /// How long a client may take none of what is written to it; then its connection is reset.
    /// 60 seconds by default.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.options.send_timeout = timeout;
        self
    }

    /// How large the head of a request may be, in bytes; larger ones get a 431. 64 KiB by
    /// default, at least 8 KiB.
    pub fn max_header_size(mut self, bytes: usize) -> Self {
        self.options.max_header_size = bytes;
        self
    }

    /// How many header fields a request may have; more get a 431. 100 by default; any other
    /// number costs a little on every request.
    pub fn max_headers(mut self, count: usize) -> Self {
        self.options.max_headers = count;
        self
    }

    /// How large the body of a request may be, in bytes; larger ones get a 413. Unlimited by
    /// default: however large it is, no more than a few messages of it are in memory.
    pub fn max_request_body(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.options.max_request_body = bytes.into();
        self
    }

    /// Up to how many bytes a body of known length goes into the request's own message. 64 KiB
    /// by default, at most 512 KiB.
    pub fn inline_body_size(mut self, bytes: usize) -> Self {
        self.options.inline_body_size = bytes;
        self
    }

    /// How many bytes of a larger body, or one of unknown length, go into one message. 64 KiB by
    /// default, at most 512 KiB.
    ///
    /// A body channel holds as many messages as the layer's capacity, so this times the capacity
    /// is what one upload may occupy.
    pub fn body_chunk_size(mut self, bytes: usize) -> Self {
        self.options.body_chunk_size = bytes;
        self
    }

    /// How much of a response may wait in memory for a client that reads slowly: so many messages,
    /// and so many bytes. 4,096 messages and 2 MiB by default. What is more waits on disk; see
    /// [`response_spool`](Self::response_spool).
    pub fn max_queued_response(mut self, messages: usize, bytes: usize) -> Self {
        self.options.response_queue = Limits { messages, bytes };
        self
    }

    /// How much of a response may wait on disk for a client that reads slowly, in bytes: for one
    /// response, and for all together. 1 GiB and 8 GiB by default; 0 for nothing at all.
    ///
    /// The server's reply channel is shared by all its connections, so it cannot make one sender
    /// wait without all the others. It takes what is sent, and the client gets it at its own
    /// pace; the worker is free long before. A client that falls further behind than there is
    /// space for is given up: its response is broken off, which is logged and counted.
    pub fn response_spool(mut self, bytes: u64, total: u64) -> Self {
        self.options.response_spool = bytes;
        self.options.total_spool = total;
        self
    }

    /// Where responses that wait on disk are kept, in files without a name. The system's folder
    /// for temporary files by default; where that is in memory, choose another.
    pub fn spool_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.options.spool_directory = Some(directory.into());
        self
    }

    /// When `http.disconnect` is sent: by default only if the client leaves early.
    pub fn disconnect_messages(mut self, when: DisconnectMessages) -> Self {
        self.options.disconnect_messages = when;
        self
    }

    /// What the `server` header of responses says, unless the application sets one. No header by
    /// default.
    pub fn server_name(mut self, name: impl Into<Option<String>>) -> Self {
        self.server_name = name.into();
        self
    }

    /// Where the application is mounted: the key `root_path` of messages, as it stands. Empty by
    /// default.
    pub fn root_path(mut self, path: impl Into<String>) -> Self {
        self.options.root_path = path.into().into();
        self
    }

    // ---- Proxies

    /// Whether to believe `X-Forwarded-For`, `-Port` and `-Proto` as to the client's address and
    /// scheme, and `Daphne-Root-Path` as to the root path. Off by default: without a proxy that
    /// sets them, clients could claim anything.
    pub fn proxy_headers(mut self, believed: bool) -> Self {
        self.options.proxy_headers = believed;
        self
    }

    /// Believes those headers only of the peer `network`, an address or a network like
    /// `10.0.0.0/8`; may be called several times. Without it, of all peers.
    pub fn trusted_proxy(mut self, network: impl Into<String>) -> Self {
        self.trusted_proxies.push(network.into());
        self
    }

    // ---- WebSockets

    /// How long a WebSocket may be open; then it is closed with code 1000. By default as long as
    /// a membership lasts in the layer's groups, or 86,400 seconds if it has none; `None` for
    /// ever.
    pub fn websocket_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.websocket_timeout =
            timeout.map_or(WebsocketTimeout::Never, WebsocketTimeout::After);
        self
    }

    /// How long the application may take to accept a WebSocket; then it is rejected with a 403.
    /// 5 seconds by default; `None` for ever.
    pub fn websocket_connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.websocket_connect_timeout = timeout.into();
        self
    }

    /// The same limit under the other name it had; the shorter one counts. None by default.
    pub fn websocket_handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.websocket_handshake_timeout = timeout.into();
        self
    }

    /// How long to wait for a client to answer a close frame. 1 second by default.
    pub fn websocket_close_timeout(mut self, timeout: Duration) -> Self {
        self.options.websocket_close_timeout = timeout;
        self
    }

    /// After how long without a frame from a WebSocket it is sent a ping. 20 seconds by default;
    /// `None` for never.
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.options.ping_interval = interval.into();
        self
    }

    /// How long a client may leave a ping without an answer; then the connection is given up,
    /// with code 1006. 30 seconds by default.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.options.ping_timeout = timeout;
        self
    }

    /// The subprotocols of WebSockets the server knows; of those a client offers, the first that
    /// is among them is chosen. An application may choose another one with the key `subprotocol`
    /// when it accepts. None by default.
    pub fn ws_protocols<I>(mut self, protocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.options.ws_protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// How large a message on a WebSocket may be, in bytes; a larger one closes it with code
    /// 1009. 1 MiB by default; 0 for any size.
    pub fn websocket_max_message_size(mut self, bytes: usize) -> Self {
        self.options.websocket_max_message_size = (bytes > 0).then_some(bytes);
        self
    }

    /// How large a frame on a WebSocket may be, in bytes; a larger one closes it with code 1009.
    /// 1 MiB by default; 0 for any size.
    pub fn websocket_max_frame_size(mut self, bytes: usize) -> Self {
        self.options.websocket_max_frame_size = (bytes > 0).then_some(bytes);
        self
    }

    /// How much of what a WebSocket is to be sent may wait for a client that reads slowly: so many
    /// messages, and so many bytes. 4,096 messages and 4 MiB by default. A client that falls
    /// further behind is given up: its WebSocket is closed with code 1013, which is logged and
    /// counted.
    pub fn websocket_max_queue(mut self, messages: usize, bytes: usize) -> Self {
        self.options.websocket_queue = Limits { messages, bytes };
        self
    }

    /// How long a frame is kept for a `websocket.receive` channel that is full, while nothing
    /// more is read from the client; then the WebSocket is closed with code 1013. 5 seconds by
    /// default.
    pub fn websocket_retry_timeout(mut self, timeout: Duration) -> Self {
        self.options.websocket_retry_timeout = timeout;
        self
    }

    // ---- The whole

    /// How long requests and WebSockets in hand may take once the server is told to stop; then
    /// they are cut off. 30 seconds by default.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.options.shutdown_timeout = timeout;
        self
    }

    /// In which time the request of a client must get on once the server is told to stop; if it
    /// does not, the client gets a 408. As the limits for running servers, but shorter, so that
    /// one client cannot hold up the stop. 5 seconds by default.
    pub fn shutdown_read_timeout(mut self, timeout: Duration) -> Self {
        self.options.shutdown_read_timeout = timeout;
        self
    }

    /// Writes what happens to `log`. No log by default.
    pub fn access_log(self, log: AccessLog) -> Self {
        self.action_logger(Arc::new(log))
    }

    /// Tells `logger` what happens.
    pub fn action_logger(mut self, logger: Arc<dyn ActionLogger>) -> Self {
        self.actions = Some(logger);
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    ///
    /// [`Error::NoEndpoint`] if there is nothing to listen on, [`Error::Option`] if an option has
    /// a value that cannot work.
    pub fn build(mut self) -> Result<Server> {
        if self.sources.is_empty() {
            return Err(Error::NoEndpoint);
        }
        for network in &self.trusted_proxies {
            self.options.trusted_proxies.add(network)?;
        }
        if let Some(name) = &self.server_name {
            let name = HeaderValue::from_str(name).map_err(|_| Error::Option {
                option: "server_name",
                reason: "holds a character no header may have".to_owned(),
            })?;
            self.options.server_name = Some(name);
        }
        self.options.check()?;
        Ok(Server::new(
            self.layer,
            self.sources,
            self.options,
            self.actions,
            self.runtimes,
        ))
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        let fail = |option, reason: &str| {
            Err(Error::Option {
                option,
                reason: reason.to_owned(),
            })
        };
        let websocket_timeout = match self.websocket_timeout {
            WebsocketTimeout::After(timeout) => Some(timeout),
            WebsocketTimeout::GroupExpiry | WebsocketTimeout::Never => None,
        };
        for (option, timeout) in [
            ("http_timeout", Some(self.http_timeout)),
            ("response_idle_timeout", self.response_idle_timeout),
            ("keep_alive_timeout", Some(self.keep_alive_timeout)),
            ("header_read_timeout", Some(self.header_read_timeout)),
            ("body_read_timeout", Some(self.body_read_timeout)),
            ("send_timeout", Some(self.send_timeout)),
            ("websocket_timeout", websocket_timeout),
            ("websocket_connect_timeout", self.websocket_connect_timeout),
            (
                "websocket_handshake_timeout",
                self.websocket_handshake_timeout,
            ),
            ("ping_interval", self.ping_interval),
            ("ping_timeout", Some(self.ping_timeout)),
        ] {
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                return fail(option, "must be longer than zero");
            }
        }
        if self.max_header_size < SMALLEST_HEADER_SIZE {
            return fail("max_header_size", "must be at least 8,192 bytes");
        }
        for (option, size) in [
            ("inline_body_size", self.inline_body_size),
            ("body_chunk_size", self.body_chunk_size),
        ] {
            if !(1..=LARGEST_CHUNK).contains(&size) {
                return fail(option, "must be from 1 to 524,288 bytes");
            }
        }
        for (option, queue) in [
            ("max_queued_response", self.response_queue),
            ("websocket_max_queue", self.websocket_queue),
        ] {
            if queue.messages == 0 {
                return fail(option, "must be at least 1 message");
            }
        }
        if self.max_headers == 0 {
            return fail("max_headers", "must be at least 1");
        }
        if self.max_connections == Some(0) {
            return fail("max_connections", "must be at least 1");
        }
        if !self.ws_protocols.iter().all(|protocol| is_token(protocol)) {
            return fail(
                "ws_protocols",
                "a subprotocol is one word of ASCII characters",
            );
        }
        Ok(())
    }
}

/// Whether `text` is a token of HTTP (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use asgiref::InMemoryChannelLayer;

    use super::*;

    fn builder() -> ServerBuilder {
        Server::builder(Arc::new(InMemoryChannelLayer::new())).endpoint(Endpoint::tcp("::1", 0))
    }

    #[test]
    fn a_server_needs_something_to_listen_on() {
        let error = Server::builder(Arc::new(InMemoryChannelLayer::new()))
            .build()
            .unwrap_err();
        assert!(matches!(error, Error::NoEndpoint), "{error}");
        builder().build().unwrap();
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        for (builder, option) in [
            (builder().http_timeout(Duration::ZERO), "http_timeout"),
            (builder().ping_interval(Duration::ZERO), "ping_interval"),
            (builder().max_header_size(100), "max_header_size"),
            (builder().body_chunk_size(0), "body_chunk_size"),
            (builder().inline_body_size(1 << 20), "inline_body_size"),
            (builder().max_queued_response(0, 1), "max_queued_response"),
            (builder().max_connections(0), "max_connections"),
            (builder().server_name("a\nb".to_owned()), "server_name"),
            (builder().ws_protocols(["a b"]), "ws_protocols"),
            (builder().trusted_proxy("nowhere"), "trusted_proxy"),
        ] {
            let error = builder.build().unwrap_err();
            assert!(error.to_string().contains(option), "{error}");
        }
    }
}
