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
            name = name_bytes(&next);
        }
        fields.push(name.clone(), Bytes::copy_from_slice(value.as_bytes()));
    }
    fields
}

macro_rules! known_names {
    ($($name:literal)*) => {
        fn name_bytes(name: &HeaderName) -> Bytes {
            match name.as_str() {
                // Names that responses usually have cost no memory.
                $($name => Bytes::from_static($name.as_bytes()),)*
                other => Bytes::copy_from_slice(other.as_bytes()),
            }
        }
    };
}

known_names! {
    "accept-ranges" "access-control-allow-credentials" "access-control-allow-headers"
    "access-control-allow-methods" "access-control-allow-origin" "age" "allow" "cache-control"
    "connection" "content-disposition" "content-encoding" "content-language" "content-length"
    "content-range" "content-security-policy" "content-type" "date" "etag" "expires"
    "last-modified" "location" "pragma" "referrer-policy" "retry-after" "server" "set-cookie"
    "strict-transport-security" "vary" "www-authenticate" "x-content-type-options"
    "x-frame-options" "x-request-id"
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
