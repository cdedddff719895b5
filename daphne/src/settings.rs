//! From the command line to a server.

use std::sync::Arc;
use std::time::Duration;

use asgiref::ChannelLayer;
use daphne::{AccessLog, Endpoint, Result, Server};

use crate::cli::{Cli, DisconnectMessages};

const DEFAULT_PORT: u16 = 8000;
const DEFAULT_HOST: &str = "127.0.0.1";

/// What to listen on, in the order of the descriptions.
///
/// Without anything 127.0.0.1:8000; a port alone gets the address, an address alone the port. A
/// Unix socket, a file descriptor or an endpoint alone opens no TCP port.
///
/// # Errors
///
/// If a description cannot be understood.
pub(crate) fn endpoints(cli: &Cli) -> Result<Vec<Endpoint>> {
    let mut endpoints = cli
        .endpoint
        .iter()
        .map(|endpoint| endpoint.parse())
        .collect::<Result<Vec<Endpoint>>>()?;
    let nothing_else = endpoints.is_empty() && cli.unix_socket.is_none() && cli.fd.is_none();
    if cli.port.is_some() || cli.bind.is_some() || nothing_else {
        let host = cli.bind.as_deref().unwrap_or(DEFAULT_HOST);
        endpoints.push(Endpoint::tcp(host, cli.port.unwrap_or(DEFAULT_PORT)));
    }
    endpoints.extend(cli.unix_socket.as_ref().map(Endpoint::unix));
    endpoints.extend(cli.fd.map(Endpoint::fd));
    endpoints.sort_by_key(ToString::to_string);
    Ok(endpoints)
}

/// The server the command line describes.
///
/// # Errors
///
/// If an option has a value that cannot work, or the access log cannot be opened.
pub(crate) fn server(
    cli: &Cli,
    endpoints: &[Endpoint],
    layer: Arc<dyn ChannelLayer>,
) -> Result<Server> {
    let http_timeout = Duration::from_secs(cli.http_timeout);
    let mut builder = Server::builder(layer)
        .max_connections(cli.max_connections)
        .http_timeout(http_timeout)
        .response_idle_timeout(match cli.response_idle_timeout {
            None => Some(http_timeout),
            Some(seconds) => unless_negative(seconds),
        })
        .keep_alive_timeout(Duration::from_secs(cli.keep_alive_timeout))
        .body_read_timeout(Duration::from_secs(cli.body_read_timeout))
        .body_min_rate(cli.body_min_rate)
        .max_request_body(cli.max_request_body)
        .disconnect_messages(match cli.disconnect_messages {
            DisconnectMessages::Early => daphne::DisconnectMessages::Early,
            DisconnectMessages::Always => daphne::DisconnectMessages::Always,
        })
        .server_name(cli.server_name.clone())
        .root_path(cli.root_path.as_str())
        .proxy_headers(cli.proxy_headers)
        .websocket_connect_timeout(unless_negative(cli.websocket_connect_timeout))
        .ping_interval((cli.ping_interval > 0).then(|| Duration::from_secs(cli.ping_interval)))
        .ping_timeout(Duration::from_secs(cli.ping_timeout))
        .ws_protocols(&cli.ws_protocol)
        .websocket_max_message_size(cli.websocket_max_message_size)
        .websocket_max_frame_size(cli.websocket_max_frame_size)
        .shutdown_timeout(Duration::from_secs(cli.shutdown_timeout));
    if let Some(seconds) = cli.websocket_timeout {
        builder = builder.websocket_timeout(unless_negative(seconds));
    }
    for network in &cli.trusted_proxy {
        builder = builder.trusted_proxy(network);
    }
    for endpoint in endpoints {
        builder = builder.endpoint(endpoint.clone());
    }
    builder = match cli.access_log.as_deref() {
        Some("-") => builder.access_log(AccessLog::stdout()),
        Some(path) => builder.access_log(AccessLog::file(path)?),
        None if cli.verbosity >= 1 => builder.access_log(AccessLog::stdout()),
        None => builder,
    };
    builder.build()
}

/// A number of seconds, of which a negative one means no limit.
fn unless_negative(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn endpoints_of(arguments: &[&str]) -> Vec<String> {
        let cli = Cli::try_parse_from(std::iter::once(&"daphne").chain(arguments)).unwrap();
        let endpoints = endpoints(&cli).unwrap();
        endpoints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_given_is_the_usual_port() {
        assert_eq!(endpoints_of(&[]), ["tcp:port=8000:interface=127.0.0.1"]);
    }

    #[test]
    fn port_and_host_complete_each_other() {
        assert_eq!(
            endpoints_of(&["-p", "123"]),
            ["tcp:port=123:interface=127.0.0.1"]
        );
        assert_eq!(
            endpoints_of(&["-b", "10.0.0.1"]),
            ["tcp:port=8000:interface=10.0.0.1"]
        );
        for host in ["200a::1", "[200a::1]"] {
            assert_eq!(
                endpoints_of(&["-b", host, "-p", "8080"]),
                [r"tcp:port=8080:interface=200a\:\:1"]
            );
        }
    }

    #[test]
    fn other_endpoints_alone_open_no_port() {
        assert_eq!(
            endpoints_of(&["-u", "/tmp/daphne.sock"]),
            ["unix:/tmp/daphne.sock"]
        );
        assert_eq!(endpoints_of(&["--fd", "0"]), ["fd:fileno=0"]);
        assert_eq!(
            endpoints_of(&["-e", "unix:/x", "--fd", "5"]),
            ["fd:fileno=5", "unix:/x"]
        );
    }

    #[test]
    fn a_port_beside_them_is_opened_too_and_nothing_is_merged() {
        assert_eq!(
            endpoints_of(&["-p", "8080", "-u", "/tmp/daphne.sock"]),
            ["tcp:port=8080:interface=127.0.0.1", "unix:/tmp/daphne.sock"]
        );
        assert_eq!(
            endpoints_of(&["-b", "10.0.0.1", "-u", "/tmp/daphne.sock"]),
            ["tcp:port=8000:interface=10.0.0.1", "unix:/tmp/daphne.sock"]
        );
        assert_eq!(
            endpoints_of(&["-p", "8080", "-e", "tcp:port=8080:interface=127.0.0.1"]),
            [
                "tcp:port=8080:interface=127.0.0.1",
                "tcp:port=8080:interface=127.0.0.1"
            ]
        );
    }

    #[test]
    fn a_negative_number_of_seconds_is_no_limit() {
        assert_eq!(unless_negative(-1), None);
        assert_eq!(unless_negative(3), Some(Duration::from_secs(3)));
    }
}
