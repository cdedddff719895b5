//! What HTTP requests and WebSocket handshakes have in common: target, header fields, addresses.

use asgiref::protocol::{Address, Headers};
use bytes::Bytes;
use bytestring::ByteString;
use hyper::header::{HOST, HeaderName, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Version};

use crate::connection::Connection;
use crate::http::pages::{self, Page};
use crate::proxy_headers;
use crate::target::{Packer, decode_path};

/// Carries the root path in a request of a trusted proxy; never part of a message.
const ROOT_PATH: HeaderName = HeaderName::from_static("daphne-root-path");

/// The head of a request in the terms of a message.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) path: ByteString,
    pub(crate) query_string: Bytes,
    pub(crate) root_path: ByteString,
    pub(crate) headers: Headers,
    pub(crate) is_secure: bool,
    pub(crate) client: Option<Address>,
}

impl Head {
    /// Translates the head of a request.
    ///
    /// # Errors
    ///
    /// The page to answer with if it breaks a rule of HTTP, or of this server.
    pub(crate) fn read(connection: &Connection, parts: &Parts) -> Result<Self, Page> {
        check_host(parts.version, &parts.headers)?;
        if parts.headers.contains_key(TRANSFER_ENCODING) && connection.watch.saw_two_lengths() {
            return Err(pages::AMBIGUOUS_LENGTH);
        }
        let raw_path = parts.uri.path();
        if raw_path.is_empty() {
            return Err(pages::NO_CONNECT);
        }
        if !raw_path.is_ascii() {
            return Err(pages::BAD_PATH);
        }
        let query = parts.uri.query().unwrap_or_default();

        let lengths = parts.headers.iter();
        let size: usize = lengths
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        let mut packer = Packer::with_capacity(raw_path.len() + query.len() + size);
        let path = if raw_path.contains('%') {
            decode_path(raw_path.as_bytes())
        } else {
            packer.put_text(raw_path)
        };
        let query_string = packer.put(query.as_bytes());

        let mut root_path = connection.shared.options.root_path.clone();
        let mut headers = Headers::with_capacity(parts.headers.len());
        for (name, value) in &parts.headers {
            if *name == ROOT_PATH {
                if connection.is_trusted_proxy {
                    root_path = read_root_path(value.as_bytes())?;
                }
            } else if !name.as_str().contains('_') {
                // A name with `_` would be taken for another one by what builds environment
                // variables of names.
                headers.push(packer.put(name.as_ref()), packer.put(value.as_bytes()));
            }
        }

        let forwarded = if connection.is_trusted_proxy {
            proxy_headers::read(&parts.headers)
        } else {
            proxy_headers::Forwarded::default()
        };
        Ok(Self {
            path,
            query_string,
            root_path,
            headers,
            is_secure: forwarded.is_secure.unwrap_or(false),
            client: forwarded.client.or_else(|| connection.client.clone()),
        })
    }
}

/// HTTP/1.1 wants exactly one host (RFC 9112, section 3.2); no version knows more than one.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Page> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version != Version::HTTP_11 => Ok(()),
        (Some(host), None) if host.as_bytes().iter().copied().all(is_host_byte) => Ok(()),
        _ => Err(pages::BAD_HOST),
    }
}

/// The characters of a host and a port (RFC 3986, section 3.2): none that could begin a path or
/// name a user.
const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'%' | b':' | b'[' | b']' | b'!' | b'$' | b'&' | b'\''
        )
        || matches!(byte, b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

fn read_root_path(value: &[u8]) -> Result<ByteString, Page> {
    if value.is_ascii() {
        Ok(decode_path(value))
    } else {
        Err(pages::BAD_ROOT_PATH)
    }
}
