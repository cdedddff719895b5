//! WebSocket connections ([ASGI: WebSocket]).
//!
//! [ASGI: WebSocket]: https://channels.readthedocs.io/en/1.x/asgi/www.html#websocket

use bytes::Bytes;
use bytestring::ByteString;

use crate::error::{Error, Result};
use crate::message::Message;
use crate::name::ChannelName;
use crate::protocol::fields::{self, Fields, debug_as_message, try_from_owned, wrong_type};
use crate::protocol::headers::is_token_byte;
use crate::protocol::{Address, Headers};
use crate::value::{Value, ValueKind};

/// Where protocol servers send [`Connect`]s.
pub const CONNECT: ChannelName = ChannelName::from_static("websocket.connect");

/// Where protocol servers send [`Receive`]s.
pub const RECEIVE: ChannelName = ChannelName::from_static("websocket.receive");

/// Where protocol servers send [`Disconnect`]s.
pub const DISCONNECT: ChannelName = ChannelName::from_static("websocket.disconnect");

/// The close code of a connection that has done its work (RFC 6455): what `close: true` means.
pub const NORMAL_CLOSURE: u16 = 1000;

/// The close code of a connection that broke without one (RFC 6455). Never sent to a client.
pub const ABNORMAL_CLOSURE: u16 = 1006;

const ACCEPT: &str = "accept";
const BYTES: &str = "bytes";
const CLOSE: &str = "close";
const CODE: &str = "code";
const SUBPROTOCOL: &str = "subprotocol";
const TEXT: &str = "text";

/// `websocket.connect`: a client asks for a WebSocket, and waits until a [`Reply`] accepts or
/// rejects it.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Connect {
    /// Where [`Reply`]s go: process-specific, unique to the connection.
    pub reply_channel: ChannelName,
    /// `ws` or `wss`; `ws` if the key is absent, never empty.
    pub scheme: ByteString,
    /// The path without the query string, percent-decoded.
    pub path: ByteString,
    /// What follows the first `?` of the target, as it came; empty if absent.
    pub query_string: Bytes,
    /// The path the application is mounted at; empty if absent.
    pub root_path: ByteString,
    /// The header fields.
    pub headers: Headers,
    /// The remote end of the connection, where it is known.
    pub client: Option<Address>,
    /// The local end of the connection, where it is known.
    pub server: Option<Address>,
    /// Always 0: the first message of the connection.
    pub order: i64,
}

impl Connect {
    /// A connection without header fields; the rest is for the caller to set.
    #[must_use]
    pub fn new(reply_channel: ChannelName, path: impl Into<ByteString>) -> Self {
        Self {
            reply_channel,
            scheme: ByteString::from_static("ws"),
            path: path.into(),
            query_string: Bytes::new(),
            root_path: ByteString::new(),
            headers: Headers::new(),
            client: None,
            server: None,
            order: 0,
        }
    }
}

impl TryFrom<&Message> for Connect {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::MissingKey`], [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key.
    fn try_from(message: &Message) -> Result<Self> {
        Ok(Self {
            reply_channel: fields::reply_channel(message)?,
            scheme: fields::scheme(message, "ws")?,
            path: fields::path(message)?,
            query_string: fields::query_string(message)?,
            root_path: fields::root_path(message)?,
            headers: fields::headers(message)?,
            client: fields::address(message, fields::CLIENT)?,
            server: fields::address(message, fields::SERVER)?,
            order: fields::order(message)?,
        })
    }
}

impl From<Connect> for Message {
    fn from(connect: Connect) -> Self {
        let mut fields = Fields::with_capacity(9);
        fields.put(fields::REPLY_CHANNEL, connect.reply_channel);
        fields.put(fields::SCHEME, connect.scheme);
        fields.put(fields::PATH, connect.path);
        fields.put(fields::QUERY_STRING, connect.query_string);
        fields.put(fields::ROOT_PATH, connect.root_path);
        fields.put(fields::HEADERS, connect.headers);
        fields.put_some(fields::CLIENT, connect.client);
        fields.put_some(fields::SERVER, connect.server);
        fields.put(fields::ORDER, connect.order);
        fields.into_message()
    }
}

/// What one WebSocket message carries.
#[derive(Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "WebSocket defines exactly these kinds of data"
)]
pub enum Frame {
    /// Text.
    Text(ByteString),
    /// Bytes.
    Binary(Bytes),
}

impl Frame {
    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it carries nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, if it is text.
    #[must_use]
    pub const fn as_text(&self) -> Option<&ByteString> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The bytes, if it is not text.
    #[must_use]
    pub const fn as_binary(&self) -> Option<&Bytes> {
        match self {
            Self::Text(_) => None,
            Self::Binary(bytes) => Some(bytes),
        }
    }

    fn put_into(self, fields: &mut Fields) {
        match self {
            Self::Text(text) => fields.put(TEXT, text),
            Self::Binary(bytes) => fields.put(BYTES, bytes),
        }
    }

    /// Reads the keys `text` and `bytes`, of which one may say something.
    ///
    /// A key that is there counts even if it is empty, because an empty frame is a frame; but an
    /// empty key beside the other one is a way of leaving it out.
    fn read(message: &Message) -> Result<Option<Self>> {
        match (message.opt_text(TEXT)?, message.opt_bytes(BYTES)?) {
            (None, None) => Ok(None),
            (Some(text), None) => Ok(Some(Self::Text(text.clone()))),
            (None, Some(bytes)) => Ok(Some(Self::Binary(bytes.clone()))),
            (Some(text), Some(bytes)) => match (text.is_empty(), bytes.is_empty()) {
                (true, true) => Ok(None),
                (false, true) => Ok(Some(Self::Text(text.clone()))),
                (true, false) => Ok(Some(Self::Binary(bytes.clone()))),
                (false, false) => Err(Error::invalid_message(
                    TEXT,
                    "a frame carries either `text` or `bytes`, not both",
                )),
            },
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = match self {
            Self::Text(text) => Value::Text(text.clone()),
            Self::Binary(bytes) => Value::Bytes(bytes.clone()),
        };
        std::fmt::Display::fmt(&value, f)
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<ByteString> for Frame {
    fn from(text: ByteString) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// `websocket.receive`: one message from the client.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Receive {
    /// The connection's reply channel.
    pub reply_channel: ChannelName,
    /// The path of the [`Connect`] message.
    pub path: ByteString,
    /// What the client sent: the key `text` or `bytes`.
    pub frame: Frame,
    /// The message's position in the connection; 1 for the first frame.
    pub order: i64,
}

impl TryFrom<&Message> for Receive {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::MissingKey`], [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key.
    fn try_from(message: &Message) -> Result<Self> {
        let frame = match Frame::read(message)? {
            Some(frame) => frame,
            // Both keys are there and empty: a frame came, and it was empty.
            None if message.opt_text(TEXT)?.is_some() => Frame::Text(ByteString::new()),
            None => {
                return Err(Error::invalid_message(
                    TEXT,
                    "a frame carries either `text` or `bytes`, and neither is there",
                ));
            }
        };
        Ok(Self {
            reply_channel: fields::reply_channel(message)?,
            path: fields::path(message)?,
            frame,
            order: fields::order(message)?,
        })
    }
}

impl From<Receive> for Message {
    fn from(receive: Receive) -> Self {
        let mut fields = Fields::with_capacity(4);
        fields.put(fields::REPLY_CHANNEL, receive.reply_channel);
        fields.put(fields::PATH, receive.path);
        receive.frame.put_into(&mut fields);
        fields.put(fields::ORDER, receive.order);
        fields.into_message()
    }
}

/// `websocket.disconnect`: the connection is gone.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Disconnect {
    /// The connection's reply channel. Nothing sent there arrives any more.
    pub reply_channel: ChannelName,
    /// The close code, as RFC 6455 defines them; [`ABNORMAL_CLOSURE`] if the key is absent or
    /// null, which it is from Python's daphne when the connection broke.
    pub code: u16,
    /// The path of the [`Connect`] message.
    pub path: ByteString,
    /// The message's position in the connection: one more than that of the last frame.
    pub order: i64,
}

impl TryFrom<&Message> for Disconnect {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::MissingKey`], [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key.
    fn try_from(message: &Message) -> Result<Self> {
        let code = message.opt_int(CODE)?.unwrap_or(ABNORMAL_CLOSURE.into());
        Ok(Self {
            reply_channel: fields::reply_channel(message)?,
            code: u16::try_from(code).map_err(|_| {
                Error::invalid_message(CODE, format_args!("{code} is not a close code"))
            })?,
            path: fields::path(message)?,
            order: fields::order(message)?,
        })
    }
}

impl From<Disconnect> for Message {
    fn from(disconnect: Disconnect) -> Self {
        let mut fields = Fields::with_capacity(4);
        fields.put(fields::REPLY_CHANNEL, disconnect.reply_channel);
        fields.put(CODE, disconnect.code);
        fields.put(fields::PATH, disconnect.path);
        fields.put(fields::ORDER, disconnect.order);
        fields.into_message()
    }
}

/// What an application sends to a connection, on its reply channel: any of acceptance or
/// rejection, a frame, and the end.
///
/// While the client waits to be accepted, a frame accepts it and a close without a frame rejects
/// it.
///
/// ```
/// use asgiref::Message;
/// use asgiref::protocol::websocket::Reply;
///
/// let farewell = Message::from(Reply { close: Some(4001), ..Reply::frame("bye") });
/// assert_eq!(farewell.text("text")?, "bye");
/// assert_eq!(farewell.int("close")?, 4001);
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Default, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Reply {
    /// Accept (true) or reject (false) a client that waits; no effect afterwards.
    pub accept: Option<bool>,
    /// What to send: the key `text` or `bytes`, which may be empty if the other one is absent.
    pub frame: Option<Frame>,
    /// Close the connection with this code after the frame is sent. In the message `true` is
    /// [`NORMAL_CLOSURE`]; `false` and 0 are as if absent.
    pub close: Option<u16>,
    /// The subprotocol to accept the connection with: one of those the client offered. An
    /// addition to the specification, which leaves the choice to the protocol server.
    pub subprotocol: Option<ByteString>,
}

impl Reply {
    /// Accepts the connection.
    #[must_use]
    pub fn accept() -> Self {
        Self {
            accept: Some(true),
            ..Self::default()
        }
    }

    /// Rejects a connection that waits to be accepted.
    #[must_use]
    pub fn reject() -> Self {
        Self {
            accept: Some(false),
            ..Self::default()
        }
    }

    /// Sends `frame`.
    pub fn frame(frame: impl Into<Frame>) -> Self {
        Self {
            frame: Some(frame.into()),
            ..Self::default()
        }
    }

    /// Closes the connection with `code`, or rejects one that waits to be accepted.
    #[must_use]
    pub fn close(code: u16) -> Self {
        Self {
            close: Some(code),
            ..Self::default()
        }
    }
}

impl TryFrom<&Message> for Reply {
    type Error = Error;

    /// The keys `reply_channel`, `path` and `order` are ignored, so that an application may send
    /// back what it received.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key; also for a key that is
    /// not part of the format.
    fn try_from(message: &Message) -> Result<Self> {
        for key in message.keys() {
            match key.as_ref() {
                TEXT | BYTES | CLOSE | ACCEPT | SUBPROTOCOL => {}
                fields::REPLY_CHANNEL | fields::PATH | fields::ORDER => {}
                unknown => {
                    return Err(Error::invalid_message(
                        shown(unknown),
                        "is not a key of a reply to a WebSocket, which are `accept`, `text`, \
                         `bytes`, `close` and `subprotocol`",
                    ));
                }
            }
        }
        Ok(Self {
            accept: message.opt_bool(ACCEPT)?,
            frame: Frame::read(message)?,
            close: close(message)?,
            subprotocol: subprotocol(message)?,
        })
    }
}

impl From<Reply> for Message {
    fn from(reply: Reply) -> Self {
        let mut fields = Fields::with_capacity(2);
        fields.put_some(ACCEPT, reply.accept);
        if let Some(frame) = reply.frame {
            frame.put_into(&mut fields);
        }
        fields.put_some(CLOSE, reply.close);
        fields.put_some(SUBPROTOCOL, reply.subprotocol);
        fields.into_message()
    }
}

debug_as_message!(Connect Receive Disconnect Reply);
try_from_owned!(Connect Receive Disconnect Reply);

/// Whether RFC 6455 and its registry let an endpoint send the close code `code`.
///
/// 1005, 1006 and 1015 stand for what was never sent; codes below 3000 that are not listed are
/// reserved.
#[must_use]
pub const fn is_valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn close(message: &Message) -> Result<Option<u16>> {
    let code = match message.get(CLOSE) {
        None | Some(Value::Null | Value::Bool(false) | Value::Int(0)) => return Ok(None),
        Some(Value::Bool(true)) => return Ok(Some(NORMAL_CLOSURE)),
        Some(Value::Int(code)) => *code,
        Some(other) => return Err(wrong_type(CLOSE, ValueKind::Int, other)),
    };
    match u16::try_from(code) {
        Ok(valid) if is_valid_close_code(valid) => Ok(Some(valid)),
        _ => Err(Error::invalid_message(
            CLOSE,
            format_args!("{code} is not a close code that may be sent"),
        )),
    }
}

fn subprotocol(message: &Message) -> Result<Option<ByteString>> {
    let Some(name) = message.opt_text(SUBPROTOCOL)? else {
        return Ok(None);
    };
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(Error::invalid_message(
            SUBPROTOCOL,
            format_args!("{} is not a subprotocol name", Value::Text(name.clone())),
        ));
    }
    Ok(Some(name.clone()))
}

/// An unknown key in an error, cut to 64 characters.
fn shown(key: &str) -> String {
    key.chars().take(64).collect()
}
