use bytes::Bytes;
use bytestring::ByteString;

use crate::error::{Error, Result};
use crate::message::Message;
use crate::protocol::fields::Fields;
use crate::value::Value;

pub(super) const BYTES: &str = "bytes";
pub(super) const TEXT: &str = "text";

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

    pub(super) fn put_into(self, fields: &mut Fields) {
        match self {
            Self::Text(text) => fields.put(TEXT, text),
            Self::Binary(bytes) => fields.put(BYTES, bytes),
        }
    }

    /// Reads the keys `text` and `bytes`, of which one may say something.
    ///
    /// A key that is there counts even if it is empty, because an empty frame is a frame; but an
    /// empty key beside the other one is a way of leaving it out.
    pub(super) fn read(message: &Message) -> Result<Option<Self>> {
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
