//! What the formats have in common: reading a field with its rule, writing a message.

use bytes::Bytes;
use bytestring::ByteString;

use crate::error::{Error, Result};
use crate::map::Map;
use crate::message::Message;
use crate::name::{ChannelKind, ChannelName};
use crate::protocol::{Address, Headers};
use crate::value::{Value, ValueKind};

pub(super) const BODY: &str = "body";
pub(super) const BODY_CHANNEL: &str = "body_channel";
pub(super) const CLIENT: &str = "client";
pub(super) const HEADERS: &str = "headers";
pub(super) const ORDER: &str = "order";
pub(super) const PATH: &str = "path";
pub(super) const QUERY_STRING: &str = "query_string";
pub(super) const REPLY_CHANNEL: &str = "reply_channel";
pub(super) const ROOT_PATH: &str = "root_path";
pub(super) const SCHEME: &str = "scheme";
pub(super) const SERVER: &str = "server";

/// The reply channel: process-specific, with the local part that tells the connection.
pub(super) fn reply_channel(message: &Message) -> Result<ChannelName> {
    let name = channel(REPLY_CHANNEL, message.text(REPLY_CHANNEL)?)?;
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
pub(super) fn body_channel(message: &Message) -> Result<Option<ChannelName>> {
    let Some(text) = message.opt_text(BODY_CHANNEL)? else {
        return Ok(None);
    };
    let name = channel(BODY_CHANNEL, text)?;
    if name.kind() != ChannelKind::SingleReader {
        return Err(Error::invalid_message(
            BODY_CHANNEL,
            format_args!("{name} is not a single-reader channel: it has no `?`"),
        ));
    }
    Ok(Some(name))
}

/// The channel named by `text`, the value at `key`.
pub(super) fn channel(key: &str, text: &ByteString) -> Result<ChannelName> {
    ChannelName::new(text.clone()).map_err(|error| Error::invalid_message(key, error))
}

pub(super) fn path(message: &Message) -> Result<ByteString> {
    message.text(PATH).cloned()
}

pub(super) fn root_path(message: &Message) -> Result<ByteString> {
    Ok(message.opt_text(ROOT_PATH)?.cloned().unwrap_or_default())
}

/// The scheme, `default` if absent; never empty.
pub(super) fn scheme(message: &Message, default: &'static str) -> Result<ByteString> {
    match message.opt_text(SCHEME)? {
        None => Ok(ByteString::from_static(default)),
        Some(scheme) if scheme.is_empty() => {
            Err(Error::invalid_message(SCHEME, "must not be empty"))
        }
        Some(scheme) => Ok(scheme.clone()),
    }
}

/// The query string. Text is taken too, as its bytes: the Python test clients send it so.
pub(super) fn query_string(message: &Message) -> Result<Bytes> {
    match message.get(QUERY_STRING) {
        Some(Value::Text(text)) => Ok(text.as_bytes().clone()),
        _ => opt_bytes(message, QUERY_STRING),
    }
}

/// The byte string at `key`, empty if absent.
pub(super) fn opt_bytes(message: &Message, key: &str) -> Result<Bytes> {
    Ok(message.opt_bytes(key)?.cloned().unwrap_or_default())
}

/// The flag at `key`, false if absent.
pub(super) fn flag(message: &Message, key: &str) -> Result<bool> {
    Ok(message.opt_bool(key)?.unwrap_or_default())
}

pub(super) fn headers(message: &Message) -> Result<Headers> {
    message
        .get(HEADERS)
        .map_or_else(|| Ok(Headers::new()), Headers::read)
}

pub(super) fn address(message: &Message, key: &str) -> Result<Option<Address>> {
    message
        .get(key)
        .map_or(Ok(None), |value| Address::read(key, value))
}

/// The position of a message in its connection, counted from 0.
pub(super) fn order(message: &Message) -> Result<i64> {
    let order = message.int(ORDER)?;
    if order < 0 {
        return Err(Error::invalid_message(
            ORDER,
            format_args!("must not be negative, and is {order}"),
        ));
    }
    Ok(order)
}

pub(super) fn wrong_type(key: &str, expected: ValueKind, found: &Value) -> Error {
    Error::WrongType {
        key: key.to_owned(),
        expected,
        found: found.kind(),
    }
}

/// Builds a message of fields whose keys are known and distinct, so that nothing is searched for
/// or copied.
pub(super) struct Fields(Vec<(ByteString, Value)>);

impl Fields {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(super) fn put(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push((ByteString::from_static(key), value.into()));
    }

    /// Puts `value` unless it is absent.
    pub(super) fn put_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    pub(super) fn into_message(self) -> Message {
        Message::from(Map::from_distinct(self.0))
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

pub(super) use {debug_as_message, try_from_owned};
