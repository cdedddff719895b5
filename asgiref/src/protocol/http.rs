//! HTTP requests and responses ([ASGI: HTTP]).
//!
//! [ASGI: HTTP]: https://channels.readthedocs.io/en/1.x/asgi/www.html#http

use bytes::Bytes;
use bytestring::ByteString;

use crate::error::{Error, Result};
use crate::map::Map;
use crate::message::{Field, Message, View};
use crate::name::{ChannelName, ChannelPattern};
use crate::protocol::fields::{self, Fields, debug_as_message, try_from_owned};
use crate::protocol::headers::is_token_byte;
use crate::protocol::{Address, Headers};

/// Where protocol servers send [`Request`]s.
pub const REQUEST: ChannelName = ChannelName::from_static("http.request");

/// Where protocol servers send [`Disconnect`]s.
pub const DISCONNECT: ChannelName = ChannelName::from_static("http.disconnect");

/// What the channels for [`BodyChunk`]s are made from.
pub const BODY_PATTERN: ChannelPattern = ChannelPattern::from_static("http.request.body?");

/// How much of a body goes into one message, in bytes: half the size every layer must carry.
pub const CHUNK_SIZE: usize = 512 * 1024;

const HTTP_VERSION: &str = "http_version";
const METHOD: &str = "method";
const CONTENT: &str = "content";
const CLOSED: &str = "closed";
const MORE_CONTENT: &str = "more_content";
const STATUS: &str = "status";
const PUSH: &str = "request";

/// `http.request`: one request, or its beginning if there is a body channel.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Request {
    /// Where the [`Response`] goes: process-specific, unique to the request.
    pub reply_channel: ChannelName,
    /// `1.0`, `1.1` or `2`.
    pub http_version: ByteString,
    /// The method, in upper case unless the client chose otherwise.
    pub method: ByteString,
    /// `http` or `https`; `http` if the key is absent, never empty.
    pub scheme: ByteString,
    /// The path without the query string, percent-decoded.
    pub path: ByteString,
    /// What follows the first `?` of the target, as it came; empty if absent.
    pub query_string: Bytes,
    /// The path the application is mounted at; empty if absent.
    pub root_path: ByteString,
    /// The header fields.
    pub headers: Headers,
    /// The whole body, or its beginning if there is a body channel; empty if absent.
    pub body: Bytes,
    /// The single-reader channel with the rest of the body in [`BodyChunk`]s: at least one.
    pub body_channel: Option<ChannelName>,
    /// The remote end of the connection, where it is known.
    pub client: Option<Address>,
    /// The local end of the connection, where it is known.
    pub server: Option<Address>,
}

impl Request {
    /// A request with HTTP/1.1, no header fields and no body; the rest is for the caller to set.
    #[must_use]
    pub fn new(
        reply_channel: ChannelName,
        method: impl Into<ByteString>,
        path: impl Into<ByteString>,
    ) -> Self {
        Self {
            reply_channel,
            http_version: ByteString::from_static("1.1"),
            method: method.into(),
            scheme: ByteString::from_static("http"),
            path: path.into(),
            query_string: Bytes::new(),
            root_path: ByteString::new(),
            headers: Headers::new(),
            body: Bytes::new(),
            body_channel: None,
            client: None,
            server: None,
        }
    }
}

impl TryFrom<&Message> for Request {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::MissingKey`], [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key.
    fn try_from(message: &Message) -> Result<Self> {
        Ok(Self {
            reply_channel: fields::reply_channel(message)?,
            http_version: http_version(message)?,
            method: method(message)?,
            scheme: fields::scheme(message, "http")?,
            path: fields::path(message)?,
            query_string: fields::query_string(message)?,
            root_path: fields::root_path(message)?,
            headers: fields::headers(message)?,
            body: fields::opt_bytes(message, fields::BODY)?,
            body_channel: fields::body_channel(message)?,
            client: fields::address(message, fields::CLIENT)?,
            server: fields::address(message, fields::SERVER)?,
        })
    }
}

impl From<Request> for Message {
    fn from(mut request: Request) -> Self {
        request.headers.make_lower_case();
        Self::of_view(request)
    }
}

impl View for Request {
    fn field(&self, key: &str) -> Field<'_> {
        match key {
            fields::REPLY_CHANNEL => Field::Channel(&self.reply_channel),
            HTTP_VERSION => Field::Text(&self.http_version),
            METHOD => Field::Text(&self.method),
            fields::SCHEME => Field::Text(&self.scheme),
            fields::PATH => Field::Text(&self.path),
            fields::QUERY_STRING => Field::Bytes(&self.query_string),
            fields::ROOT_PATH => Field::Text(&self.root_path),
            fields::HEADERS => Field::Headers(&self.headers),
            fields::BODY => Field::Bytes(&self.body),
            fields::BODY_CHANNEL => Field::of(self.body_channel.as_ref()),
            fields::CLIENT => Field::of(self.client.as_ref()),
            fields::SERVER => Field::of(self.server.as_ref()),
            _ => Field::Absent,
        }
    }

    fn to_map(&self) -> Map {
        let request = self.clone();
        let mut fields = Fields::with_capacity(12);
        fields.put(fields::REPLY_CHANNEL, request.reply_channel);
        fields.put(HTTP_VERSION, request.http_version);
        fields.put(METHOD, request.method);
        fields.put(fields::SCHEME, request.scheme);
        fields.put(fields::PATH, request.path);
        fields.put(fields::QUERY_STRING, request.query_string);
        fields.put(fields::ROOT_PATH, request.root_path);
        fields.put(fields::HEADERS, request.headers);
        fields.put(fields::BODY, request.body);
        fields.put_some(fields::BODY_CHANNEL, request.body_channel);
        fields.put_some(fields::CLIENT, request.client);
        fields.put_some(fields::SERVER, request.server);
        fields.into_map()
    }

    fn payload_size(&self) -> usize {
        self.path.len() + self.query_string.len() + self.body.len()
    }
}

/// A part of a request body, on the request's body channel. The channel's capacity is the
/// sender's backpressure: it waits and tries again while the channel is full.
#[derive(Clone, Default, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct BodyChunk {
    /// What to append to the body. Required unless the chunk is `closed`.
    pub content: Bytes,
    /// The client went away before the body was complete: the request is to be abandoned.
    pub closed: bool,
    /// Whether more chunks follow.
    pub more_content: bool,
}

impl TryFrom<&Message> for BodyChunk {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::MissingKey`] or [`Error::WrongType`], naming the key.
    fn try_from(message: &Message) -> Result<Self> {
        let closed = fields::flag(message, CLOSED)?;
        let content = if closed {
            fields::opt_bytes(message, CONTENT)?
        } else {
            message.bytes(CONTENT)?.clone()
        };
        Ok(Self {
            content,
            closed,
            more_content: fields::flag(message, MORE_CONTENT)?,
        })
    }
}

impl From<BodyChunk> for Message {
    fn from(chunk: BodyChunk) -> Self {
        let mut fields = Fields::with_capacity(3);
        if !chunk.closed || !chunk.content.is_empty() {
            fields.put(CONTENT, chunk.content);
        }
        if chunk.closed {
            fields.put(CLOSED, true);
        }
        fields.put(MORE_CONTENT, chunk.more_content);
        fields.into_message()
    }
}

/// A response, or a part of one, on the request's reply channel.
///
/// The first message of a response has a status; the ones after it have none.
#[derive(Clone, Default, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Response {
    /// The status code, 100 to 999. Present in the first message, and only there.
    pub status: Option<u16>,
    /// The header fields. Only those of the first message count.
    pub headers: Headers,
    /// The body, or the next part of it; empty if absent.
    pub content: Bytes,
    /// Whether more messages follow; false ends the response.
    pub more_content: bool,
    /// The application cannot complete the response it began: the server breaks the connection
    /// off, so that the client does not take what it got for the whole. An extension, after the
    /// key of the same name in [`BodyChunk`]; servers that do not know it end the response.
    pub closed: bool,
}

impl Response {
    /// A whole response in one message.
    pub fn new(status: u16, content: impl Into<Bytes>) -> Self {
        Self {
            status: Some(status),
            content: content.into(),
            ..Self::default()
        }
    }

    /// A further part of a response whose first message was sent.
    pub fn chunk(content: impl Into<Bytes>, more_content: bool) -> Self {
        Self {
            content: content.into(),
            more_content,
            ..Self::default()
        }
    }

    /// The end of a response that cannot be completed.
    #[must_use]
    pub fn aborted() -> Self {
        Self {
            closed: true,
            ..Self::default()
        }
    }
}

impl TryFrom<&Message> for Response {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key; for a header field that
    /// must not be written to a connection also the field ([`Headers::check`]). Server push (the
    /// key `request`) is not provided and reported as such.
    fn try_from(message: &Message) -> Result<Self> {
        if message.contains_key(PUSH) {
            return Err(Error::invalid_message(PUSH, "server push is not provided"));
        }
        let headers = fields::headers(message)?;
        headers.check()?;
        Ok(Self {
            status: status(message)?,
            headers,
            content: fields::opt_bytes(message, CONTENT)?,
            more_content: fields::flag(message, MORE_CONTENT)?,
            closed: fields::flag(message, CLOSED)?,
        })
    }
}

impl From<Response> for Message {
    fn from(mut response: Response) -> Self {
        response.headers.make_lower_case();
        Self::of_view(response)
    }
}

impl Response {
    /// Whether a message with these contents has the key `headers`.
    const fn has_headers(&self) -> bool {
        self.status.is_some() || !self.headers.is_empty()
    }
}

impl View for Response {
    fn field(&self, key: &str) -> Field<'_> {
        match key {
            STATUS => self
                .status
                .map_or(Field::Absent, |status| Field::Int(status.into())),
            fields::HEADERS if self.has_headers() => Field::Headers(&self.headers),
            CONTENT => Field::Bytes(&self.content),
            CLOSED if self.closed => Field::Bool(true),
            MORE_CONTENT => Field::Bool(self.more_content),
            _ => Field::Absent,
        }
    }

    fn to_map(&self) -> Map {
        let response = self.clone();
        let mut fields = Fields::with_capacity(5);
        fields.put_some(STATUS, response.status);
        if self.has_headers() {
            fields.put(fields::HEADERS, response.headers);
        }
        fields.put(CONTENT, response.content);
        if response.closed {
            fields.put(CLOSED, true);
        }
        fields.put(MORE_CONTENT, response.more_content);
        fields.into_map()
    }

    fn payload_size(&self) -> usize {
        self.content.len()
    }
}

/// `http.disconnect`: the connection of a request is gone, or its response is complete.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Disconnect {
    /// The request's reply channel. Nothing sent there arrives any more.
    pub reply_channel: ChannelName,
    /// The request's path, so that the message can be routed like the request.
    pub path: ByteString,
}

impl TryFrom<&Message> for Disconnect {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::MissingKey`], [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key.
    fn try_from(message: &Message) -> Result<Self> {
        Ok(Self {
            reply_channel: fields::reply_channel(message)?,
            path: fields::path(message)?,
        })
    }
}

impl From<Disconnect> for Message {
    fn from(disconnect: Disconnect) -> Self {
        let mut fields = Fields::with_capacity(2);
        fields.put(fields::REPLY_CHANNEL, disconnect.reply_channel);
        fields.put(fields::PATH, disconnect.path);
        fields.into_message()
    }
}

debug_as_message!(Request BodyChunk Response Disconnect);
try_from_owned!(Request BodyChunk Response Disconnect);

fn http_version(message: &Message) -> Result<ByteString> {
    let version = message.text(HTTP_VERSION)?;
    match version.as_bytes().as_ref() {
        [b'0'..=b'9'] | [b'0'..=b'9', b'.', b'0'..=b'9'] => Ok(version.clone()),
        _ => Err(Error::invalid_message(
            HTTP_VERSION,
            format_args!(
                "must be one of `1.0`, `1.1` and `2`, and is {}",
                shown(version)
            ),
        )),
    }
}

fn method(message: &Message) -> Result<ByteString> {
    let method = message.text(METHOD)?;
    if method.is_empty() || !method.bytes().all(is_token_byte) {
        return Err(Error::invalid_message(
            METHOD,
            format_args!("{} is not an HTTP method", shown(method)),
        ));
    }
    Ok(method.clone())
}

fn status(message: &Message) -> Result<Option<u16>> {
    let Some(status) = message.opt_int(STATUS)? else {
        return Ok(None);
    };
    match u16::try_from(status) {
        Ok(status @ 100..=999) => Ok(Some(status)),
        _ => Err(Error::invalid_message(
            STATUS,
            format_args!("{status} is not within 100 to 999"),
        )),
    }
}

/// Text in an error: quoted and short.
fn shown(text: &ByteString) -> crate::Value {
    crate::Value::Text(text.clone())
}
