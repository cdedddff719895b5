//! Header fields between messages and [`http::HeaderMap`].

use asgiref::Bytes;
use asgiref::protocol::{Headers, HeadersRef};
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

use super::error::RequestError;

/// The header fields of a request. Repeated names stay apart, except `cookie`.
///
/// HTTP/2 clients may spread cookies over several `cookie` fields; whoever reads them expects
/// one, joined with `; ` ([RFC 9113, section 8.2.3]).
///
/// [RFC 9113, section 8.2.3]: https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3
///
/// # Errors
///
/// [`RequestError::Header`].
pub(super) fn from_message_headers(fields: HeadersRef<'_>) -> Result<HeaderMap, RequestError> {
    let mut headers: HeaderMap = HeaderMap::with_capacity(fields.len());
    fields.visit(|name, value| {
        let invalid = |source| RequestError::Header {
            name: String::from_utf8_lossy(name).into_owned(),
            source,
        };
        let field = HeaderName::from_bytes(name).map_err(|error| invalid(error.into()))?;
        let value =
            HeaderValue::from_maybe_shared(value.clone()).map_err(|error| invalid(error.into()))?;
        if field == COOKIE
            && let Some(first) = headers.get_mut(&COOKIE)
        {
            let joined = [first.as_bytes(), b"; ", value.as_bytes()].concat();
            *first = HeaderValue::try_from(joined).map_err(|error| invalid(error.into()))?;
        } else {
            headers.append(field, value);
        }
        Ok::<_, RequestError>(())
    })?;
    Ok(headers)
}

/// The header fields of a response: those of one name together, names in the order in which they
/// were first added.
pub(super) fn to_message_headers(headers: HeaderMap) -> Headers {
    let mut fields = Headers::with_capacity(headers.len());
    let mut name = Bytes::new();
    for (next, value) in headers {
        if let Some(next) = next {
            name = bytes(next.as_str().as_bytes());
        }
        fields.push(name.clone(), bytes(value.as_bytes()));
    }
    fields
}

macro_rules! known_texts {
    ($($text:literal)*) => {
        /// Shares texts that responses usually have, and copies others.
        fn bytes(text: &[u8]) -> Bytes {
            match text {
                $($text => Bytes::from_static($text),)*
                other => Bytes::copy_from_slice(other),
            }
        }
    };
}

known_texts! {
    b"accept-ranges" b"access-control-allow-credentials" b"access-control-allow-headers"
    b"access-control-allow-methods" b"access-control-allow-origin" b"age" b"allow" b"cache-control"
    b"connection" b"content-disposition" b"content-encoding" b"content-language" b"content-length"
    b"content-range" b"content-security-policy" b"content-type" b"date" b"etag" b"expires"
    b"last-modified" b"location" b"pragma" b"referrer-policy" b"retry-after" b"server"
    b"set-cookie" b"strict-transport-security" b"vary" b"www-authenticate"
    b"x-content-type-options" b"x-frame-options" b"x-request-id"
    b"application/json" b"application/octet-stream" b"no-cache" b"nosniff" b"text/event-stream"
    b"text/html; charset=utf-8" b"text/plain; charset=utf-8"
}

#[cfg(test)]
mod tests {
    use asgiref::Value;

    use super::*;

    #[test]
    fn repeated_fields_stay_apart_and_cookies_are_joined() {
        let fields = Headers::from([
            ("x-tag", "1"),
            ("cookie", "a=1"),
            ("x-tag", "2"),
            ("Cookie", "b=2; c=3"),
            ("x-latin", "\u{e9}"),
        ]);
        let fields = Value::from(fields);
        let headers = from_message_headers(HeadersRef::try_from(&fields).expect("a list"))
            .expect("valid fields");
        assert!(headers.get_all("x-tag").iter().eq(["1", "2"]));
        assert!(headers.get_all(COOKIE).iter().eq(["a=1; b=2; c=3"]));
        assert_eq!(headers["x-latin"].as_bytes(), "\u{e9}".as_bytes());
    }

    #[test]
    fn an_invalid_field_is_named() {
        for (name, value) in [("a b", "1"), ("", "1"), ("x", "a\nb"), ("cookie", "\0")] {
            let fields = Value::from(Headers::from([(name, value)]));
            let fields = HeadersRef::try_from(&fields).expect("a list");
            let error = from_message_headers(fields).expect_err("invalid");
            assert_eq!(
                error.to_string(),
                format!("header {name:?} is not a valid header")
            );
        }
    }

    #[test]
    fn response_fields_keep_their_order() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/html"));
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.insert("x-unusual", HeaderValue::from_static("yes"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        assert_eq!(
            to_message_headers(headers),
            Headers::from([
                ("content-type", "text/html"),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("x-unusual", "yes"),
            ])
        );
    }
}
