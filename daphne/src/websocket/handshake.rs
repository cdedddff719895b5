//! What a client must say to get a WebSocket (RFC 6455, section 4.2.1).

use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

/// A handshake that follows the rules.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) key: HeaderValue,
    /// The subprotocols the client offers, in its order of preference.
    pub(super) protocols: Vec<String>,
}

/// Why a handshake is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: &'static str,
    /// A header that tells the client what to do better.
    pub(super) hint: Option<(HeaderName, HeaderValue)>,
}

const fn refuse(text: &'static str) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        text,
        hint: None,
    }
}

/// Whether a request asks for a WebSocket. One that offers several things to upgrade to is taken
/// as plain HTTP.
pub(crate) fn is_handshake(parts: &Parts) -> bool {
    // With every upgrade hyper sends something along, so that most requests need no look.
    if parts.version == Version::HTTP_11 && parts.extensions.is_empty() {
        return false;
    }
    parts
        .headers
        .get(UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

impl Offer {
    /// Reads a handshake.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub(super) fn read(parts: &Parts, has_body: bool) -> Result<Self, Refusal> {
        let headers = &parts.headers;
        if parts.method != Method::GET {
            return Err(Refusal {
                status: StatusCode::METHOD_NOT_ALLOWED,
                text: "A WebSocket handshake uses the method GET.",
                hint: Some((hyper::header::ALLOW, HeaderValue::from_static("GET"))),
            });
        }
        if parts.version != Version::HTTP_11 {
            return Err(refuse("A WebSocket handshake uses HTTP/1.1."));
        }
        if has_body {
            return Err(refuse("A WebSocket handshake has no body."));
        }
        if !tokens(headers, CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
            return Err(refuse("The Connection header must contain `upgrade`."));
        }
        // Version 8 differs from 13 in the name of the Origin header only.
        match headers
            .get(SEC_WEBSOCKET_VERSION)
            .map(HeaderValue::as_bytes)
        {
            Some(b"13" | b"8") => {}
            _ => {
                return Err(Refusal {
                    hint: Some((SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13, 8"))),
                    ..refuse("The WebSocket version must be 13 or 8.")
                });
            }
        }
        let key = read_key(headers)?;
        let protocols = read_protocols(headers)?;
        if !headers.get(ORIGIN).is_none_or(is_origin) {
            return Err(refuse("The Origin header names no host."));
        }
        Ok(Self { key, protocols })
    }
}

/// The key is 16 bytes in Base64; what the bytes are makes no difference.
fn read_key(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(refuse("The request needs one Sec-WebSocket-Key header."));
    };
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key.as_bytes().split_last_chunk() {
        Some((digits, b"==")) if digits.len() == 22 && digits.iter().all(is_base64) => {
            Ok(key.clone())
        }
        _ => Err(refuse(
            "The Sec-WebSocket-Key header must be 16 bytes in Base64.",
        )),
    }
}

fn read_protocols(headers: &HeaderMap) -> Result<Vec<String>, Refusal> {
    let mut protocols: Vec<String> = Vec::new();
    for protocol in tokens(headers, SEC_WEBSOCKET_PROTOCOL) {
        if protocols.iter().any(|known| known == protocol) {
            return Err(refuse(
                "The Sec-WebSocket-Protocol header names a subprotocol twice.",
            ));
        }
        protocols.push(protocol.to_owned());
    }
    Ok(protocols)
}

/// The items between commas of all lines of a header. A line that is not ASCII has none.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Whether an origin is one: a scheme and a host, or what browsers send for pages that have none.
/// Whether it is welcome is for the application to say.
fn is_origin(origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    if origin.eq_ignore_ascii_case("null") {
        return true;
    }
    match origin.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => true,
        Some((scheme, host)) => !scheme.is_empty() && !host.is_empty() && !host.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    const KEY: &str = "x3JJHMbDL1EzLkh9GBhXDw==";

    fn parts(change: impl FnOnce(&mut Parts)) -> Parts {
        let request = Request::builder()
            .uri("/chat")
            .header("host", "example.com")
            .header("upgrade", "websocket")
            .header("connection", "keep-alive, Upgrade")
            .header("sec-websocket-key", KEY)
            .header("sec-websocket-version", "13")
            .extension("as hyper does")
            .body(())
            .unwrap();
        let (mut parts, ()) = request.into_parts();
        change(&mut parts);
        parts
    }

    fn with(name: &'static str, value: &'static str) -> Parts {
        parts(|parts| {
            parts.headers.insert(name, HeaderValue::from_static(value));
        })
    }

    fn refusal(parts: &Parts) -> Refusal {
        Offer::read(parts, false).unwrap_err()
    }

    #[test]
    fn a_proper_handshake_is_read() {
        let mut parts = with("sec-websocket-protocol", "chat, superchat");
        parts
            .headers
            .append("sec-websocket-protocol", HeaderValue::from_static("more"));
        let offer = Offer::read(&parts, false).unwrap();
        assert_eq!(offer.key, KEY);
        assert_eq!(offer.protocols, ["chat", "superchat", "more"]);
    }

    #[test]
    fn only_an_upgrade_to_websocket_alone_is_a_handshake() {
        for (upgrade, expected) in [
            ("websocket", true),
            ("WebSocket", true),
            ("websocket, foo", false),
            ("h2c", false),
        ] {
            assert_eq!(
                is_handshake(&with("upgrade", upgrade)),
                expected,
                "{upgrade}"
            );
        }
    }

    #[test]
    fn each_rule_is_checked() {
        for (name, value) in [
            ("connection", "keep-alive"),
            ("sec-websocket-version", "7"),
            ("sec-websocket-version", ""),
            ("sec-websocket-key", "abc"),
            ("sec-websocket-key", "x3JJHMbDL1EzLkh9GBhXDwww"),
            ("sec-websocket-key", "x3JJ MbDL1EzLkh9GBhXDw=="),
            ("sec-websocket-protocol", "a, a"),
            ("origin", ""),
            ("origin", "foo"),
            ("origin", "http://"),
        ] {
            let status = refusal(&with(name, value)).status;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{name}: {value}");
        }
        let post = parts(|parts| parts.method = Method::POST);
        assert_eq!(refusal(&post).status, StatusCode::METHOD_NOT_ALLOWED);
        let old = parts(|parts| parts.version = Version::HTTP_10);
        assert_eq!(refusal(&old).status, StatusCode::BAD_REQUEST);
        assert!(Offer::read(&parts(|_| ()), true).is_err());
        let no_key = parts(|parts| {
            parts.headers.remove(SEC_WEBSOCKET_KEY);
        });
        assert_eq!(refusal(&no_key).status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_wrong_version_is_told_the_right_ones() {
        let hint = refusal(&with("sec-websocket-version", "12")).hint.unwrap();
        assert_eq!(hint.0, SEC_WEBSOCKET_VERSION);
        assert_eq!(hint.1, "13, 8");
    }

    #[test]
    fn origins_without_a_host_are_left_to_the_application() {
        for origin in [
            "null",
            "file://",
            "FILE:///x",
            "http://example.com",
            "app://x",
        ] {
            assert!(
                Offer::read(&with("origin", origin), false).is_ok(),
                "{origin}"
            );
        }
    }
}
