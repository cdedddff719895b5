use asgiref::protocol::http::Response;
use asgiref::{Message, Value};
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// A message of a response, with its header fields put where they are needed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: Option<u16>,
    pub(super) content: Bytes,
    pub(super) more_content: bool,
    pub(super) closed: bool,
}

impl Reply {
    /// Reads a message; its header fields are added to `headers`.
    ///
    /// # Errors
    ///
    /// As the conversion of a message to a [`Response`].
    pub(super) fn read(message: &Message, headers: &mut HeaderMap) -> asgiref::Result<Self> {
        if let Some(reply) = Self::read_usual(message, headers) {
            return Ok(reply);
        }
        // What is unusual is left to the view everyone uses, which accepts more, and explains
        // what it does not.
        headers.clear();
        let response = Response::try_from(message)?;
        for (name, value) in response.headers {
            let name = HeaderName::from_bytes(&name);
            let value = HeaderValue::from_maybe_shared(value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(asgiref::Error::invalid_message(
                    "headers",
                    "a field must not be sent",
                ));
            };
            headers.append(name, value);
        }
        Ok(Self {
            status: response.status,
            content: response.content,
            more_content: response.more_content,
            closed: response.closed,
        })
    }

    /// Reads a message of the usual shape in one go, without the copies a view makes.
    fn read_usual(message: &Message, headers: &mut HeaderMap) -> Option<Self> {
        let mut reply = Self::default();
        for (key, value) in message {
            match (&**key, value) {
                ("status", Value::Int(status)) => {
                    let valid = (100..=999).contains(status);
                    reply.status = Some(u16::try_from(*status).ok().filter(|_| valid)?);
                }
                ("headers", Value::List(fields)) => read_headers(fields, headers)?,
                ("content", Value::Bytes(content)) => reply.content = content.clone(),
                ("more_content", Value::Bool(more)) => reply.more_content = *more,
                ("closed", Value::Bool(closed)) => reply.closed = *closed,
                ("status" | "headers" | "content" | "more_content" | "closed" | "request", _) => {
                    return None;
                }
                _ => {}
            }
        }
        Some(reply)
    }
}

fn read_headers(fields: &[Value], headers: &mut HeaderMap) -> Option<()> {
    headers.reserve(fields.len());
    for field in fields {
        let Value::List(pair) = field else {
            return None;
        };
        let [Value::Bytes(name), Value::Bytes(value)] = pair.as_slice() else {
            return None;
        };
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_maybe_shared(value.clone()).ok()?;
        headers.append(name, value);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use asgiref::message;

    use super::*;

    fn read(message: &Message) -> asgiref::Result<(Reply, HeaderMap)> {
        let mut headers = HeaderMap::new();
        Reply::read(message, &mut headers).map(|reply| (reply, headers))
    }

    #[test]
    fn the_usual_and_the_unusual_shape_mean_the_same() {
        let usual = message! {
            "status" => 201,
            "headers" => [[b"X-A".as_slice(), b"1"], [b"x-a", b"2"]],
            "content" => b"hi",
            "more_content" => true,
            "status_text" => b"Fine",
        };
        let unusual = message! {
            "status" => 201,
            "headers" => [["X-A", "1"], ["x-a", "2"]],
            "content" => b"hi",
            "more_content" => true,
            "closed" => (),
        };
        let (reply, headers) = read(&usual).unwrap();
        assert_eq!(
            reply,
            Reply {
                status: Some(201),
                content: Bytes::from_static(b"hi"),
                more_content: true,
                closed: false,
            }
        );
        let values: Vec<_> = headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(read(&unusual).unwrap(), (reply, headers));
    }

    #[test]
    fn what_is_wrong_is_explained() {
        for (message, part) in [
            (message! { "status" => 99 }, "status"),
            (message! { "status" => "200" }, "status"),
            (message! { "status" => 200, "content" => "text" }, "content"),
            (
                message! { "status" => 200, "headers" => [[b"x".as_slice(), b"a\r\nb: c"]] },
                "headers",
            ),
            (
                message! { "status" => 200, "headers" => [[b"a b".as_slice(), b""]] },
                "headers",
            ),
            (message! { "status" => 200, "headers" => 1 }, "headers"),
        ] {
            let error = read(&message).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
