use asgiref::protocol::HeadersRef;
use asgiref::{Error, Message};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};

/// A message of a response, but for its header fields.
///
/// As the view of the same message in `asgiref::protocol`, which would copy the header fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) status: Option<StatusCode>,
    pub(super) content: Bytes,
    pub(super) more_content: bool,
    pub(super) closed: bool,
}

impl Part {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key.
    pub(super) fn read(message: &Message) -> Result<Self, Error> {
        Ok(Self {
            status: message.opt_int("status")?.map(status).transpose()?,
            content: message.opt_bytes("content")?.cloned().unwrap_or_default(),
            more_content: message.opt_bool("more_content")?.unwrap_or_default(),
            closed: message.opt_bool("closed")?.unwrap_or_default(),
        })
    }
}

/// The status of a response. What is below 200 is none: it announces one.
fn status(status: i64) -> Result<StatusCode, Error> {
    u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(|status| !status.is_informational())
        .ok_or_else(|| {
            Error::invalid_message("status", format_args!("{status} is not within 200 to 999"))
        })
}

/// Calls `take` with each header field of a message.
///
/// # Errors
///
/// [`Error::InvalidMessage`] if there is something else, or a field that must not be sent: a name
/// that is none, or a value with a line break, which would let an application's input add fields.
pub(super) fn read_headers(
    message: &Message,
    mut take: impl FnMut(HeaderName, HeaderValue),
) -> Result<(), Error> {
    HeadersRef::of(message)?.visit(|name, value| {
        let value = HeaderValue::from_maybe_shared(value.clone());
        let (Some(name), Ok(value)) = (header_name(name), value) else {
            return Err(Error::invalid_message(
                "headers",
                format_args!(
                    "the field `{}` must not be sent",
                    shown(name).escape_ascii()
                ),
            ));
        };
        take(name, value);
        Ok(())
    })
}

fn header_name(name: &[u8]) -> Option<HeaderName> {
    // The usual ones are found faster than by looking at each letter.
    Some(match name {
        b"content-type" => header::CONTENT_TYPE,
        b"content-length" => header::CONTENT_LENGTH,
        b"set-cookie" => header::SET_COOKIE,
        b"cache-control" => header::CACHE_CONTROL,
        b"location" => header::LOCATION,
        b"vary" => header::VARY,
        b"etag" => header::ETAG,
        b"last-modified" => header::LAST_MODIFIED,
        _ => return HeaderName::from_bytes(name).ok(),
    })
}

/// As much of a name as goes into an error.
fn shown(name: &[u8]) -> &[u8] {
    &name[..name.len().min(64)]
}

#[cfg(test)]
mod tests {
    use asgiref::message;
    use asgiref::protocol::http::Response;

    use super::*;

    fn headers(message: &Message) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let mut fields = Vec::new();
        read_headers(message, |name, value| fields.push((name, value)))?;
        Ok(fields)
    }

    #[test]
    fn a_message_is_read_whatever_it_was_made_of() {
        let map = message! {
            "status" => 201,
            "headers" => [[b"X-A".as_slice(), b"1"], [b"etag", b"2"]],
            "content" => b"hi",
            "more_content" => true,
            "status_text" => b"Fine",
        };
        let text = message! {
            "status" => 201,
            "headers" => [["x-a", "1"], ["etag", "2"]],
            "content" => b"hi",
            "more_content" => true,
            "closed" => (),
        };
        let mut view = Response::new(201, "hi");
        view.headers.push("x-a", "1");
        view.headers.push("etag", "2");
        view.more_content = true;
        let expected = Part {
            status: Some(StatusCode::CREATED),
            content: Bytes::from_static(b"hi"),
            more_content: true,
            closed: false,
        };
        let fields = [("x-a", "1"), ("etag", "2")].map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        for message in [map, text, view.into()] {
            assert_eq!(Part::read(&message).unwrap(), expected, "{message}");
            assert_eq!(headers(&message).unwrap(), fields, "{message}");
        }
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (message, key) in [
            (message! { "status" => 99 }, "status"),
            (message! { "status" => 101 }, "status"),
            (message! { "status" => "200" }, "status"),
            (message! { "content" => "text" }, "content"),
            (message! { "more_content" => 1 }, "more_content"),
        ] {
            let error = Part::read(&message).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn header_fields_cannot_smuggle_others() {
        for (name, value) in [
            ("x-a", "v\r\nset-cookie: a=b"),
            ("x-a", "v\n"),
            ("x-a", "v\0"),
            ("x a", "v"),
            ("x-a: v\r\nx-b", "v"),
            ("", "v"),
        ] {
            let message = message! { "headers" => [[name.as_bytes(), value.as_bytes()]] };
            let error = headers(&message).unwrap_err().to_string();
            assert!(error.contains("headers"), "{error}");
        }
        assert!(headers(&message! { "headers" => 1 }).is_err());
    }

    #[test]
    fn usual_names_are_those_of_the_library() {
        for name in [
            "content-type",
            "content-length",
            "set-cookie",
            "cache-control",
            "location",
        ]
        .into_iter()
        .chain(["vary", "etag", "last-modified", "x-other"])
        {
            assert_eq!(header_name(name.as_bytes()).unwrap(), name);
        }
    }
}
