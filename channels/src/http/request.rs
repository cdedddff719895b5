//! From an `http.request` message to the request a service takes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use asgiref::protocol::HeadersRef;
use asgiref::{ByteString, Message};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, Uri, Version};

use super::asgi_request::AsgiRequest;
use super::body::{Body, Limits, Outcome};
use super::error::RequestError;
use super::headers::from_message_headers;
use super::reply::SEND_TIMEOUT;
use super::uri::request_target;
use crate::context::Context;

/// How long a service waits for the next part of a request body, unless told otherwise.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a request is made with besides the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) body: Limits,
    /// How long a message waits for room on the reply channel.
    pub(super) send_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body: Limits {
                timeout: BODY_TIMEOUT,
                size: None,
            },
            send_timeout: SEND_TIMEOUT,
        }
    }
}

/// Makes the request, and if its body is still on its way, what tells how that ends. Reads the
/// message without copying it, since every request comes through here.
///
/// # Errors
///
/// [`RequestError`].
pub(super) fn make_request(
    context: &Context,
    settings: &Settings,
) -> Result<(Request<Body>, Option<Outcome>), RequestError> {
    let message = context.message();
    let method = method(message.text("method")?)?;
    let version = version(message.text("http_version")?);
    let root_path = message.opt_text("root_path")?;
    let target = request_target(
        message.text("path")?,
        root_path.map_or("", |root_path| root_path),
        query_string(message)?,
    )?;
    let headers = from_message_headers(HeadersRef::of(message)?)?;
    let content = message.opt_bytes("body")?.cloned().unwrap_or_default();
    if let Some(limit) = settings.body.size
        && announced_size(&headers).max(content.len() as u64) > limit
    {
        return Err(RequestError::BodyTooLarge { limit });
    }
    let (body, outcome) = match message.opt_channel("body_channel")? {
        None => (Body::from(content), None),
        Some(channel) => {
            let layer = Arc::clone(context.layer());
            let (body, outcome) = Body::continued(content, layer, channel, settings.body);
            (body, Some(outcome))
        }
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    *request.version_mut() = version;
    *request.headers_mut() = headers;
    // A call that cannot be answered has no request either.
    context
        .reply_channel()
        .map_err(|_| RequestError::NoReplyChannel)?;
    request
        .extensions_mut()
        .insert(AsgiRequest::new(context.clone(), settings.send_timeout));
    Ok((request, outcome))
}

/// The query string as bytes; test clients send text.
fn query_string(message: &Message) -> Result<&[u8], asgiref::Error> {
    match message.opt_bytes("query_string") {
        Ok(query) => Ok(query.map_or(&[], |query| query)),
        Err(not_bytes) => match message.opt_text("query_string") {
            Ok(Some(text)) => Ok(text.as_bytes()),
            _ => Err(not_bytes),
        },
    }
}

/// The method in upper case, as the specification asks servers to write it and not all do.
fn method(text: &ByteString) -> Result<Method, RequestError> {
    let upper = if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Cow::Owned(text.to_ascii_uppercase())
    } else {
        Cow::Borrowed(&**text)
    };
    Method::from_bytes(upper.as_bytes()).map_err(|_| RequestError::Method {
        method: text.chars().take(64).collect(),
    })
}

fn version(text: &str) -> Version {
    match text {
        "0.9" => Version::HTTP_09,
        "1.0" => Version::HTTP_10,
        "2" | "2.0" => Version::HTTP_2,
        "3" | "3.0" => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

/// The size the client announced, 0 if it announced none that can be understood.
fn announced_size(headers: &HeaderMap) -> u64 {
    headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}
