//! What HTTP requests and WebSocket handshakes have in common: target, header fields, addresses.

use asgiref::protocol::{Address, Headers};
use bytes::Bytes;
use bytestring::ByteString;
use hyper::header::{self, HOST, HeaderName, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Version};

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
        let raw_path = parts.uri.path();
        if parts.method == Method::CONNECT {
            return Err(pages::NO_CONNECT);
        }
        // RFC 9112, section 3.2: the other forms are for CONNECT, and `*` for OPTIONS.
        if !raw_path.starts_with('/') && (raw_path != "*" || parts.method != Method::OPTIONS) {
            return Err(pages::BAD_TARGET);
        }
        if !raw_path.is_ascii() {
            return Err(pages::BAD_PATH);
        }
        let query = parts.uri.query().unwrap_or_default();

        let fields = parts.headers.iter();
        let size: usize = fields
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
        let mut hosts = 0;
        let mut is_chunked = false;
        for (name, value) in &parts.headers {
            let value = value.as_bytes();
            match *name {
                HOST if !value.iter().copied().all(is_host_byte) => return Err(pages::BAD_HOST),
                HOST => hosts += 1,
                TRANSFER_ENCODING if connection.watch.saw_two_lengths() => {
                    return Err(pages::AMBIGUOUS_LENGTH);
                }
                TRANSFER_ENCODING => {
                    check_codings(value, is_chunked)?;
                    is_chunked = true;
                }
                ref name if *name == ROOT_PATH => {
                    if connection.is_trusted_proxy {
                        root_path = read_root_path(value)?;
                    }
                    continue;
                }
                _ => {}
            }
            match known_name(name) {
                Some(name) => headers.push(name, packer.put(value)),
                // A name with `_` would be taken for another one by what makes names of
                // environment variables of them.
                None if name.as_str().contains('_') => {}
                None => headers.push(packer.put(name.as_ref()), packer.put(value)),
            }
        }
        // HTTP/1.1 wants exactly one host (RFC 9112, section 3.2); no version knows more.
        if hosts > 1 || (hosts == 0 && parts.version == Version::HTTP_11) {
            return Err(pages::BAD_HOST);
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

/// The usual names, so that they need not be copied.
fn known_name(name: &HeaderName) -> Option<&'static str> {
    macro_rules! known {
        ($($name:ident)*) => {
            match *name {
                $(header::$name => Some(const { header::$name }.as_str()),)*
                _ => None,
            }
        };
    }
    known! {
        ACCEPT ACCEPT_ENCODING ACCEPT_LANGUAGE AUTHORIZATION CACHE_CONTROL CONNECTION
        CONTENT_LENGTH CONTENT_TYPE COOKIE DNT EXPECT FORWARDED HOST IF_MATCH IF_MODIFIED_SINCE
        IF_NONE_MATCH ORIGIN PRAGMA RANGE REFERER SEC_WEBSOCKET_EXTENSIONS SEC_WEBSOCKET_KEY
        SEC_WEBSOCKET_PROTOCOL SEC_WEBSOCKET_VERSION TE TRANSFER_ENCODING UPGRADE
        UPGRADE_INSECURE_REQUESTS USER_AGENT VIA
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

/// Checks a line that says how the body is framed; `is_chunked` if another one was before it.
/// hyper looks at the last coding alone.
fn check_codings(value: &[u8], is_chunked: bool) -> Result<(), Page> {
    let codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let chunked = codings
        .clone()
        .filter(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        .count();
    if chunked + usize::from(is_chunked) > 1 {
        // RFC 9112, section 6.1: a body must not be chunked twice.
        return Err(pages::BAD_CODINGS);
    }
    if chunked == 1 && codings.count() == 1 {
        Ok(())
    } else {
        Err(pages::UNKNOWN_CODING)
    }
}

fn read_root_path(value: &[u8]) -> Result<ByteString, Page> {
    if value.is_ascii() {
        Ok(decode_path(value))
    } else {
        Err(pages::BAD_ROOT_PATH)
    }
}
