//! The URL of a channel layer, taken apart.

use percent_encoding::percent_decode_str;

use super::options::Options;
use super::settings::{Host, LayerSettings};
use crate::error::{Error, Result};

/// Reads `scheme:[//[user[:password]@]host[:port],…][path][?option=value&…]`.
pub(super) fn parse(url: &str) -> Result<LayerSettings> {
    let (scheme, rest) = url.split_once(':').ok_or_else(no_scheme)?;
    if !is_scheme(scheme) {
        return Err(no_scheme());
    }
    if rest.contains('#') {
        return Err(wrong("a `#` must be written `%23`"));
    }
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, query),
        None => (rest, ""),
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
        Some((name, password)) => (not_empty(name)?, not_empty(password)?),
        None => (None, None),
    };
    Ok(LayerSettings {
        scheme: scheme.to_ascii_lowercase(),
        username,
        password,
        hosts: parse_hosts(hosts)?,
        path: decode(path)?,
        options: parse_query(query)?,
    })
}

fn parse_hosts(hosts: &str) -> Result<Vec<Host>> {
    if hosts.is_empty() {
        return Ok(Vec::new());
    }
    hosts.split(',').map(parse_host).collect()
}

/// Reads `name`, `name:port`, `[IPv6]` or `[IPv6]:port`.
pub(super) fn parse_host(host: &str) -> Result<Host> {
    let no_port = || wrong("a port is a number from 0 to 65535");
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest
                .split_once(']')
                .ok_or_else(|| wrong("the `]` after an IPv6 address is missing"))?;
            match after.strip_prefix(':') {
                Some(port) => (name, Some(port)),
                None if after.is_empty() => (name, None),
                None => return Err(no_port()),
            }
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    if name.is_empty() {
        return Err(wrong("the name of a host is empty"));
    }
    Ok(Host {
        name: decode(name)?,
        port: port
            .map(|port| port.parse().map_err(|_| no_port()))
            .transpose()?,
    })
}

fn parse_query(query: &str) -> Result<Options> {
    let mut options = Options::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((option, value)) = pair.split_once('=') else {
            return Err(options.error(&decode(pair)?, "needs a value, after a `=`"));
        };
        options.push(decode(option)?, decode(value)?);
    }
    Ok(options)
}

fn decode(text: &str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(wrong("what is percent-encoded is not UTF-8")),
    }
}

fn not_empty(text: &str) -> Result<Option<String>> {
    if text.is_empty() {
        Ok(None)
    } else {
        decode(text).map(Some)
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.'))
}

fn no_scheme() -> Error {
    wrong("it must begin with a scheme and a colon, as in `memory:` or `redis://localhost`")
}

fn wrong(reason: &str) -> Error {
    Error::config("url", reason)
}
