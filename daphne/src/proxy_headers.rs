//! Who the client is when a proxy stands in between.

use std::net::{IpAddr, SocketAddr};

use asgiref::protocol::Address;
use hyper::HeaderMap;
use hyper::header::HeaderValue;

use crate::error::Error;

/// The peers whose word about the client is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies {
    /// None: all.
    networks: Vec<Network>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl TrustedProxies {
    /// Adds an address or a network in CIDR notation: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
    pub(crate) fn add(&mut self, network: &str) -> Result<(), Error> {
        let network = parse_network(network).ok_or_else(|| Error::Option {
            option: "trusted_proxy",
            reason: format!("`{network}` is neither an IP address nor a network like 10.0.0.0/8"),
        })?;
        self.networks.push(network);
        Ok(())
    }

    /// Whether `peer` is trusted; peers without an address are those of a Unix socket.
    pub(crate) fn contain(&self, peer: Option<SocketAddr>) -> bool {
        self.networks.is_empty()
            || peer.is_none_or(|peer| {
                let address = peer.ip().to_canonical();
                self.networks
                    .iter()
                    .any(|network| network.contains(address))
            })
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix))
                    .unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix))
                    .unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

fn parse_network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= longest)?,
        None => longest,
    };
    Some(Network { address, prefix })
}

/// What a trusted proxy says about the client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    pub(crate) client: Option<Address>,
    /// Whether the client's own connection is encrypted, if the proxy says so.
    pub(crate) is_secure: Option<bool>,
}

/// Reads `X-Forwarded-For`, `X-Forwarded-Port` and `X-Forwarded-Proto`.
///
/// As the Python program: the left-most address counts, of several lines the first; the port is
/// that of `X-Forwarded-Port` or 0. Unlike it: an item with a port (`1.2.3.4:555`, `[::1]:555`) is
/// split, an item that is no address is ignored, and the protocol counts by itself, if it is
/// `http` or `https` (or `ws` or `wss`) in either case.
pub(crate) fn read(headers: &HeaderMap) -> Forwarded {
    let client = first_item(headers, "x-forwarded-for").and_then(|item| {
        let (host, port) = split_port(item)?;
        let port = first_item(headers, "x-forwarded-port")
            .and_then(|port| port.parse().ok())
            .or(port)
            .unwrap_or(0);
        Some(Address::new(host.to_string(), port))
    });
    let is_secure = first_item(headers, "x-forwarded-proto").and_then(|protocol| {
        match protocol.to_ascii_lowercase().as_str() {
            "https" | "wss" => Some(true),
            "http" | "ws" => Some(false),
            _ => None,
        }
    });
    Forwarded { client, is_secure }
}

fn first_item<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get(name).map(HeaderValue::as_bytes)?;
    let item = std::str::from_utf8(line).ok()?.split(',').next()?.trim();
    (!item.is_empty()).then_some(item)
}

/// An address with or without a port.
fn split_port(item: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = item.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let bare = item
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(item);
    bare.parse().ok().map(|address| (address, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(lines: &[(&'static str, &'static str)]) -> Forwarded {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        read(&headers)
    }

    fn client(lines: &[(&'static str, &'static str)]) -> Option<(String, u16)> {
        forwarded(lines)
            .client
            .map(|address| (address.host.to_string(), address.port))
    }

    #[test]
    fn the_left_most_address_of_the_first_line_counts() {
        let lines = [
            ("x-forwarded-for", "1.2.3.4, 5.6.7.8"),
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-port", "99"),
        ];
        assert_eq!(client(&lines), Some(("1.2.3.4".to_owned(), 99)));
        assert_eq!(client(&lines[..1]), Some(("1.2.3.4".to_owned(), 0)));
    }

    #[test]
    fn an_address_with_a_port_is_split() {
        for (item, host, port) in [
            ("1.2.3.4:555", "1.2.3.4", 555),
            ("[::1]:555", "::1", 555),
            ("[::1]", "::1", 0),
            ("1043::a321:0001", "1043::a321:1", 0),
        ] {
            assert_eq!(
                client(&[("x-forwarded-for", item)]),
                Some((host.to_owned(), port))
            );
        }
    }

    #[test]
    fn what_is_no_address_is_ignored() {
        for item in ["", "unknown", "1.2.3", "_hidden", ", 1.2.3.4"] {
            assert_eq!(client(&[("x-forwarded-for", item)]), None, "{item}");
        }
        let lines = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-port", "no")];
        assert_eq!(client(&lines), Some(("1.2.3.4".to_owned(), 0)));
    }

    #[test]
    fn the_protocol_counts_by_itself_and_in_either_case() {
        for (value, expected) in [
            ("https", Some(true)),
            ("HTTPS,http", Some(true)),
            ("wss", Some(true)),
            ("http", Some(false)),
            ("gopher", None),
            ("", None),
        ] {
            assert_eq!(
                forwarded(&[("x-forwarded-proto", value)]).is_secure,
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn only_peers_in_the_networks_are_trusted() {
        let peer = |text: &str| Some(text.parse().unwrap());
        let mut proxies = TrustedProxies::default();
        assert!(
            proxies.contain(peer("1.2.3.4:1")),
            "without a list every peer is trusted"
        );
        for network in ["10.0.0.0/8", "192.168.1.1", "fd00::/8"] {
            proxies.add(network).unwrap();
        }
        for trusted in [
            "10.9.8.7:1",
            "192.168.1.1:1",
            "[fd12::1]:1",
            "[::ffff:10.0.0.1]:1",
        ] {
            assert!(proxies.contain(peer(trusted)), "{trusted}");
        }
        for other in ["11.0.0.1:1", "192.168.1.2:1", "[fe80::1]:1"] {
            assert!(!proxies.contain(peer(other)), "{other}");
        }
        assert!(
            proxies.contain(None),
            "a Unix socket has its file's mode to protect it"
        );
    }

    #[test]
    fn a_malformed_network_is_refused() {
        for network in ["", "10.0.0.0/33", "::/129", "example.com", "10.0.0.0/x"] {
            let error = TrustedProxies::default().add(network).unwrap_err();
            assert!(error.to_string().contains("trusted_proxy"), "{error}");
        }
    }
}
