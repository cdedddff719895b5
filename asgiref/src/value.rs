use std::borrow::Cow;
use std::fmt;
use std::num::TryFromIntError;

use bytes::Bytes;
use bytestring::ByteString;

use crate::map::Map;
use crate::message::Message;
use crate::name::{ChannelName, GroupName};

/// One of the eight types a message may hold ([ASGI: Channels and Messages]).
///
/// Text and bytes are shared, so a clone costs a reference count, never a copy.
///
/// ```
/// use asgiref::Value;
///
/// let value = Value::from([1, 2, 3]);
/// assert_eq!(value, Value::List(vec![Value::Int(1), Value::Int(2), Value::Int(3)]));
/// ```
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
#[derive(Clone, Default, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the specification defines exactly these types"
)]
pub enum Value {
    /// Python's `None`.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A signed 64-bit integer.
    Int(i64),
    /// An IEEE 754 double.
    Float(f64),
    /// A byte string.
    Bytes(Bytes),
    /// A Unicode string.
    Text(ByteString),
    /// A list; a Python tuple arrives as one.
    List(Vec<Self>),
    /// A map with text keys.
    Map(Map),
}

impl Value {
    /// How many lists and maps that come from outside may stand in each other, the message
    /// itself included. The limit keeps what a peer sends from exhausting the stack.
    pub const MAX_DEPTH: usize = 128;

    /// Which of the eight types this is.
    #[must_use]
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Null => ValueKind::Null,
            Self::Bool(_) => ValueKind::Bool,
            Self::Int(_) => ValueKind::Int,
            Self::Float(_) => ValueKind::Float,
            Self::Bytes(_) => ValueKind::Bytes,
            Self::Text(_) => ValueKind::Text,
            Self::List(_) => ValueKind::List,
            Self::Map(_) => ValueKind::Map,
        }
    }

    /// The value if it is a boolean.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The value if it is an integer.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The value if it is a float; integers are not converted.
    #[must_use]
    pub const fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The value if it is a byte string.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The value if it is text.
    #[must_use]
    pub const fn as_text(&self) -> Option<&ByteString> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The items if it is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The map if it is one.
    #[must_use]
    pub const fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Whether it is [`Value::Null`].
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// The type of a [`Value`], for error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the specification defines exactly these types"
)]
#[allow(missing_docs, reason = "the names are those of `Value`'s variants")]
pub enum ValueKind {
    Null,
    Bool,
    Int,
    Float,
    Bytes,
    Text,
    List,
    Map,
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Float => "a float",
            Self::Bytes => "a byte string",
            Self::Text => "text",
            Self::List => "a list",
            Self::Map => "a map",
        })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! from_variant {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from_variant! {
    bool => Bool,
    i8 => Int, i16 => Int, i32 => Int, i64 => Int, u8 => Int, u16 => Int, u32 => Int,
    f32 => Float, f64 => Float,
    Bytes => Bytes, Vec<u8> => Bytes,
    ByteString => Text, String => Text, &str => Text,
    ChannelName => Text, GroupName => Text,
    Map => Map,
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(value))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Self {
        Self::from(value.as_slice())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::from(value.as_str())
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(value: Cow<'_, str>) -> Self {
        Self::Text(value.into_owned().into())
    }
}

impl From<char> for Value {
    fn from(value: char) -> Self {
        Self::from(&*value.encode_utf8(&mut [0; 4]))
    }
}

/// What is shared anyway may be given by reference: the conversion costs a reference count.
macro_rules! from_reference {
    ($($type:ty)*) => {$(
        impl From<&$type> for Value {
            fn from(value: &$type) -> Self {
                Self::from(value.clone())
            }
        }
    )*};
}

from_reference!(Bytes ByteString ChannelName GroupName Message);

/// Integers that may be beyond the signed 64 bits a message can hold.
macro_rules! try_from_integer {
    ($($type:ty)*) => {$(
        impl TryFrom<$type> for Value {
            type Error = TryFromIntError;

            fn try_from(value: $type) -> Result<Self, TryFromIntError> {
                i64::try_from(value).map(Self::Int)
            }
        }
    )*};
}

try_from_integer!(u64 usize isize u128 i128);

impl From<Message> for Value {
    fn from(message: Message) -> Self {
        Self::Map(message.into_map())
    }
}

impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::List(items)
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Null
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        Self::List(items.into_iter().collect())
    }
}
