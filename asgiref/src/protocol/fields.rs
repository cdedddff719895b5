//! What the formats have in common: reading a field with its rule, writing a message.

use bytes::Bytes;
use bytestring::ByteString;

use crate::error::{Error, Result};
use crate::map::Map;
use crate::message::{Field, Message};
use crate::name::{ChannelKind, ChannelName};
use crate::protocol::{Address, Headers};
use crate::value::{Value, ValueKind};

pub(in crate::protocol) const BODY: &str = "body";
pub(in crate::protocol) const BODY_CHANNEL: &str = "body_channel";
pub(in crate::protocol) const CLIENT: &str = "client";
pub(in crate::protocol) const HEADERS: &str = "headers";
pub(in crate::protocol) const ORDER: &str = "order";
pub(in crate::protocol) const PATH: &str = "path";
pub(in crate::protocol) const QUERY_STRING: &str = "query_string";
pub(in crate::protocol) const REPLY_CHANNEL: &str = "reply_channel";
pub(in crate::protocol) const ROOT_PATH: &str = "root_path";
pub(in crate::protocol) const SCHEME: &str = "scheme";
pub(in crate::protocol) const SERVER: &str = "server";

/// The reply channel: process-specific, with the local part that tells the connection.
pub(in crate::protocol) fn reply_channel(message: &Message) -> Result<ChannelName> {
    let name = match message.field(REPLY_CHANNEL) {
        Field::Channel(name) => name.clone(),
        _ => channel(REPLY_CHANNEL, message.text(REPLY_CHANNEL)?)?,
    };
    if name.local_part().is_none_or(str::is_empty) {
        return Err(Error::invalid_message(
            REPLY_CHANNEL,
            format_args!(
                "{name} is not process-specific: something must stand on both sides of a `!`"
            ),
        ));
    }
    Ok(name)
}

/// The channel the rest of a request body comes on: single-reader.
pub(in crate::protocol) fn body_channel(message: &Message) -> Result<Option<ChannelName>> {
    let name = match message.field(BODY_CHANNEL) {
        Field::Channel(name) => name.clone(),
        _ => match message.opt_text(BODY_CHANNEL)? {
            Some(text) => channel(BODY_CHANNEL, text)?,
            None => return Ok(None),
        },
    };
    if name.kind() != ChannelKind::SingleReader {
        return Err(Error::invalid_message(
            BODY_CHANNEL,
            format_args!("{name} is not a single-reader channel: it has no `?`"),
        ));
    }
    Ok(Some(name))
}

/// The channel named by `text`, the value at `key`.
pub(in crate::protocol) fn channel(key: &str, text: &ByteString) -> Result<ChannelName> {
    ChannelName::new(text.clone()).map_err(|error| Error::invalid_message(key, error))
}

pub(in crate::protocol) fn path(message: &Message) -> Result<ByteString> {
    message.text(PATH).cloned()
}

pub(in crate::protocol) fn root_path(message: &Message) -> Result<ByteString> {
    Ok(message.opt_text(ROOT_PATH)?.cloned().unwrap_or_default())
}

/// The scheme, `default` if absent; never empty.
pub(in crate::protocol) fn scheme(message: &Message, default: &'static str) -> Result<ByteString> {
    match message.opt_text(SCHEME)? {
        None => Ok(ByteString::from_static(default)),
        Some(scheme) if scheme.is_empty() => {
            Err(Error::invalid_message(SCHEME, "must not be empty"))
        }
        Some(scheme) => Ok(scheme.clone()),
    }
}

/// The query string. Text is taken too, as its bytes: the Python test clients send it so.
pub(in crate::protocol) fn query_string(message: &Message) -> Result<Bytes> {
    match message.field(QUERY_STRING) {
        Field::Value(Value::Text(text)) => Ok(text.as_bytes().clone()),
        _ => opt_bytes(message, QUERY_STRING),
    }
}

/// The byte string at `key`, empty if absent.
pub(in crate::protocol) fn opt_bytes(message: &Message, key: &str) -> Result<Bytes> {
    Ok(message.opt_bytes(key)?.cloned().unwrap_or_default())
}

/// The flag at `key`, false if absent.
pub(in crate::protocol) fn flag(message: &Message, key: &str) -> Result<bool> {
    Ok(message.opt_bool(key)?.unwrap_or_default())
}

pub(in crate::protocol) fn headers(message: &Message) -> Result<Headers> {
    match message.field(HEADERS) {
        Field::Headers(headers) => Ok(headers.clone()),
        _ => message
            .get(HEADERS)
            .map_or_else(|| Ok(Headers::new()), Headers::read),
    }
}

pub(in crate::protocol) fn address(message: &Message, key: &str) -> Result<Option<Address>> {
    match message.field(key) {
        Field::Address(address) => Ok(Some(address.clone())),
        _ => message
            .get(key)
            .map_or(Ok(None), |value| Address::read(key, value)),
    }
}

/// The position of a message in its connection, counted from 0.
pub(in crate::protocol) fn order(message: &Message) -> Result<i64> {
    let order = message.int(ORDER)?;
    if order < 0 {
        return Err(Error::invalid_message(
            ORDER,
            format_args!("must not be negative, and is {order}"),
        ));
    }
    Ok(order)
}

pub(in crate::protocol) fn wrong_type(key: &str, expected: ValueKind, found: &Value) -> Error {
    Error::WrongType {
        key: key.to_owned(),
        expected,
        found: found.kind(),
    }
}

/// Builds the map of a message of fields whose keys are known and distinct, so that nothing is searched for
/// or copied.
pub(in crate::protocol) struct Fields(Vec<(ByteString, Value)>);

impl Fields {
    pub(in crate::protocol) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(in crate::protocol) fn put(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push((ByteString::from_static(key), value.into()));
    }

    /// Puts `value` unless it is absent.
    pub(in crate::protocol) fn put_some(
        &mut self,
        key: &'static str,
        value: Option<impl Into<Value>>,
    ) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    pub(in crate::protocol) fn into_map(self) -> Map {
        Map::from_distinct(self.0)
    }

    pub(in crate::protocol) fn into_message(self) -> Message {
        Message::from(self.into_map())
    }
}

/// Writes `Debug` of a view as that of its message, which is short whatever the body holds.
macro_rules! debug_as_message {
    ($($type:ident)*) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{} {}", stringify!($type), $crate::Message::from(self.clone()))
            }
        }
    )*};
}

/// The conversion from an owned message, in terms of the one from a reference.
macro_rules! try_from_owned {
    ($($type:ident)*) => {$(
        impl TryFrom<$crate::Message> for $type {
            type Error = $crate::Error;

            fn try_from(message: $crate::Message) -> $crate::Result<Self> {
                Self::try_from(&message)
            }
        }
    )*};
}

pub(in crate::protocol) use {debug_as_message, try_from_owned};
