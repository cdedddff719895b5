//! What a protocol server says about a connection.

use bytes::Bytes;
use bytestring::ByteString;

use super::close::ABNORMAL_CLOSURE;
use super::frame::{BYTES, Frame, TEXT};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::message::{Field, Message, View};
use crate::name::ChannelName;
use crate::protocol::fields::{self, Fields, debug_as_message, try_from_owned};
use crate::protocol::{Address, Headers};

const CODE: &str = "code";

/// `websocket.connect`: a client asks for a WebSocket, and waits until a [`Reply`](super::Reply)
/// accepts or rejects it.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Connect {
    /// Where [`Reply`](super::Reply)s go: process-specific, unique to the connection.
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
        Self::of_view(receive)
    }
}

impl View for Receive {
    fn field(&self, key: &str) -> Field<'_> {
        match (key, &self.frame) {
            (fields::REPLY_CHANNEL, _) => Field::Channel(&self.reply_channel),
            (fields::PATH, _) => Field::Text(&self.path),
            (TEXT, Frame::Text(text)) => Field::Text(text),
            (BYTES, Frame::Binary(bytes)) => Field::Bytes(bytes),
            (fields::ORDER, _) => Field::Int(self.order),
            _ => Field::Absent,
        }
    }

    fn to_map(&self) -> Map {
        let receive = self.clone();
        let mut fields = Fields::with_capacity(4);
        fields.put(fields::REPLY_CHANNEL, receive.reply_channel);
        fields.put(fields::PATH, receive.path);
        receive.frame.put_into(&mut fields);
        fields.put(fields::ORDER, receive.order);
        fields.into_map()
    }

    fn payload_size(&self) -> usize {
        self.path.len() + self.frame.len()
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

debug_as_message!(Connect Receive Disconnect);
try_from_owned!(Connect Receive Disconnect);
