//! The command line: the flags of daphne 1.4, and a few more.

use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};

/// Serves HTTP and WebSockets for the workers of a channel layer.
#[derive(Debug, Parser)]
#[command(
    name = "daphne",
    version,
    after_help = "Exit status: 0 stopped by a signal, 1 failed while running, 2 wrong usage, \
                  3 cannot listen, 4 no channel layer."
)]
pub(crate) struct Cli {
    /// The channel layer, as with `--layer`
    #[arg(value_name = "LAYER")]
    pub(crate) positional_layer: Option<String>,

    /// The channel layer: its URL, for example `redis://localhost:6379/0`, or its name in the
    /// file of `--settings`, `default` if that is all there is
    #[arg(
        long,
        value_name = "URL|NAME",
        env = "DAPHNE_LAYER",
        hide_env_values = true
    )]
    pub(crate) layer: Option<String>,

    /// A TOML file with channel layers, in tables `[channel_layers.NAME]`
    #[arg(long, value_name = "FILE", env = "DAPHNE_SETTINGS")]
    pub(crate) settings: Option<PathBuf>,

    /// Serve on a layer within this process too, which no worker can reach: each request is
    /// answered with 503. For trying out endpoints and proxies
    #[arg(long)]
    pub(crate) allow_process_local: bool,

    // ---- Where to listen
    /// The TCP port [default: 8000]
    #[arg(short, long)]
    pub(crate) port: Option<u16>,

    /// The address to listen on [default: 127.0.0.1]
    #[arg(short, long, value_name = "HOST")]
    pub(crate) bind: Option<String>,

    /// Listen on a Unix socket
    #[arg(short, long, alias = "unix_socket", value_name = "PATH")]
    pub(crate) unix_socket: Option<PathBuf>,

    /// Listen on a socket that is already open, by its file descriptor
    #[arg(long, value_name = "FILENO")]
    pub(crate) fd: Option<i32>,

    /// Listen on an endpoint, for example tcp:8000:interface=0.0.0.0 (repeatable)
    #[arg(short, long, value_name = "ENDPOINT", action = ArgAction::Append)]
    pub(crate) endpoint: Vec<String>,

    /// How many connections may be open; more wait [default: no limit]
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_connections: Option<usize>,

    // ---- HTTP
    /// Seconds a worker may take to answer before the client gets a 503
    #[arg(
        short = 't',
        long,
        alias = "http_timeout",
        value_name = "SECONDS",
        default_value_t = 120
    )]
    pub(crate) http_timeout: u64,

    /// Seconds a response may pause before its connection is reset; -1 for any time
    /// [default: as --http-timeout]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) response_idle_timeout: Option<i64>,

    /// Seconds a connection may wait for a request
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) keep_alive_timeout: u64,

    /// Seconds in which a request body must get on, as --body-min-rate says
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) body_read_timeout: u64,

    /// Bytes per second of a request body that must arrive; 0 if a single byte in
    /// --body-read-timeout is enough
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub(crate) body_min_rate: u32,

    /// Largest request body in bytes [default: no limit]
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_request_body: Option<u64>,

    /// When to send http.disconnect
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = DisconnectMessages::Early)]
    pub(crate) disconnect_messages: DisconnectMessages,

    /// The Server header of responses [default: none]
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Where the application is mounted, as messages say it
    #[arg(
        long,
        alias = "root_path",
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) root_path: String,

    // ---- Proxies
    /// Believe X-Forwarded-For, -Port and -Proto, and Daphne-Root-Path
    #[arg(long, alias = "proxy_headers")]
    pub(crate) proxy_headers: bool,

    /// Believe them of this address or network only (repeatable) [default: of everyone]
    #[arg(long, value_name = "NETWORK", action = ArgAction::Append, requires = "proxy_headers")]
    pub(crate) trusted_proxy: Vec<String>,

    // ---- WebSockets
    /// Seconds a WebSocket may be open; -1 for ever [default: as long as the layer's groups keep
    /// their members]
    #[arg(
        long,
        alias = "websocket_timeout",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    pub(crate) websocket_timeout: Option<i64>,

    /// Seconds a worker may take to accept a WebSocket; -1 for ever
    #[arg(
        long,
        alias = "websocket_connect_timeout",
        value_name = "SECONDS",
        default_value_t = 5,
        allow_negative_numbers = true
    )]
    pub(crate) websocket_connect_timeout: i64,

    /// Seconds of silence after which a WebSocket is sent a ping; 0 for never
    #[arg(
        long,
        alias = "ping_interval",
        value_name = "SECONDS",
        default_value_t = 20
    )]
    pub(crate) ping_interval: u64,

    /// Seconds without an answer to a ping after which a WebSocket is given up
    #[arg(
        long,
        alias = "ping_timeout",
        value_name = "SECONDS",
        default_value_t = 30
    )]
    pub(crate) ping_timeout: u64,

    /// Subprotocols of WebSockets the server knows
    #[arg(long, alias = "ws_protocol", value_name = "PROTOCOL", num_args = 0.., action = ArgAction::Append)]
    pub(crate) ws_protocol: Vec<String>,

    /// Largest WebSocket message in bytes; 0 for any size
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    pub(crate) websocket_max_message_size: usize,

    /// Largest WebSocket frame in bytes; 0 for any size
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    pub(crate) websocket_max_frame_size: usize,

    // ---- The whole
    /// Seconds requests and WebSockets in hand may take once the server is told to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) shutdown_timeout: u64,

    /// Write an access log to a file, or - for standard output
    /// [default: standard output if verbosity is at least 1]
    #[arg(long, alias = "access_log", value_name = "FILE")]
    pub(crate) access_log: Option<String>,

    /// How much to say: 0 warnings, 1 what happens, 2 details, 3 everything. `RUST_LOG` overrides it
    #[arg(short, long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) verbosity: u8,

    /// Accepted for compatibility; without effect
    #[arg(long, alias = "force_sync", hide = true)]
    pub(crate) force_sync: bool,
}

/// When `http.disconnect` is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DisconnectMessages {
    /// If the client leaves before its response is complete
    Early,
    /// After every request
    Always,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(arguments: &[&str]) -> Cli {
        Cli::try_parse_from(std::iter::once(&"daphne").chain(arguments)).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn both_spellings_are_understood() {
        for name in ["--http-timeout", "--http_timeout", "-t"] {
            assert_eq!(parse(&[name, "7"]).http_timeout, 7);
        }
        for name in ["--websocket_timeout", "--websocket-timeout"] {
            assert_eq!(parse(&[name, "-1"]).websocket_timeout, Some(-1));
        }
        for name in ["--websocket_connect_timeout", "--websocket-connect-timeout"] {
            assert_eq!(parse(&[name, "-1"]).websocket_connect_timeout, -1);
        }
    }

    #[test]
    fn subprotocols_take_any_number_of_values() {
        let cli = parse(&["--ws-protocol", "a", "b", "--ws-protocol", "c"]);
        assert_eq!(cli.ws_protocol, ["a", "b", "c"]);
    }

    #[test]
    fn an_unknown_verbosity_is_refused() {
        assert!(Cli::try_parse_from(["daphne", "-v", "4"]).is_err());
    }
}
