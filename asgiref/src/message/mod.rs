mod content;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::error::{Error, Result};
use crate::map::{Iter, Map};
use crate::name::ChannelName;
use crate::value::{Value, ValueKind};

use content::Content;

pub(crate) use content::{Field, View};

/// What travels over a channel: a map from text keys to [`Value`]s ([ASGI: Channels and
/// Messages]).
///
/// A clone shares the contents and costs one reference count; the first change to a shared
/// message copies it (its texts and byte strings stay shared). So what was sent never changes.
///
/// ```
/// use asgiref::{Message, message};
///
/// let mut message = message! { "path" => "/chat/", "order" => 0 };
/// assert_eq!(message.text("path")?, "/chat/");
/// message.insert("order", 1);
/// assert_eq!(message.int("order")?, 1);
/// assert_eq!(message.text("order").unwrap_err().to_string(),
///            "message key `order` is an integer, not text");
/// # Ok::<(), asgiref::Error>(())
/// ```
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
#[derive(Clone, Default)]
pub struct Message {
    content: Content,
}

impl Message {
    /// A message without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A message without keys, with room for `capacity` of them.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self::from(Map::with_capacity(capacity))
    }

    /// A message that is `view` until somebody asks for its map.
    pub(crate) fn of_view(view: impl View) -> Self {
        Self {
            content: Content::of_view(view),
        }
    }

    /// What is at `key`.
    pub(crate) fn field(&self, key: &str) -> Field<'_> {
        self.content.field(key)
    }

    /// The contents.
    #[must_use]
    pub fn as_map(&self) -> &Map {
        self.content.as_map()
    }

    /// The contents, without a copy if nothing else shares them.
    #[must_use]
    pub fn into_map(self) -> Map {
        self.content.into_map()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_map().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_map().is_empty()
    }

    /// The value at `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map().get(key)
    }

    /// The value at `key`, to be changed in place; copies the contents first if they are shared.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        if !self.contains_key(key) {
            return None;
        }
        self.content.make_mut().get_mut(key)
    }

    /// Whether there is a value at `key`.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        !matches!(self.field(key), Field::Absent)
    }

    /// Puts `value` at `key` and returns the value that was there; copies the contents first if
    /// they are shared.
    pub fn insert(&mut self, key: impl Into<ByteString>, value: impl Into<Value>) -> Option<Value> {
        self.content.make_mut().insert(key, value)
    }

    /// Takes the value at `key` out; copies the contents first if they are shared.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        if !self.contains_key(key) {
            return None;
        }
        self.content.make_mut().remove(key)
    }

    /// The entries in the order their keys were first inserted.
    pub fn iter(&self) -> Iter<'_> {
        self.as_map().iter()
    }

    /// The keys in the order they were first inserted.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &ByteString> {
        self.as_map().keys()
    }

    /// The boolean at `key`.
    ///
    /// # Errors
    ///
    /// [`Error::MissingKey`] or [`Error::WrongType`]; so for all accessors named after a type.
    pub fn bool(&self, key: &str) -> Result<bool> {
        required(key, self.opt_bool(key))
    }

    /// The integer at `key`.
    ///
    /// # Errors
    ///
    /// As [`bool`](Self::bool).
    pub fn int(&self, key: &str) -> Result<i64> {
        required(key, self.opt_int(key))
    }

    /// The float at `key`; an integer there is converted, as Python would.
    ///
    /// # Errors
    ///
    /// As [`bool`](Self::bool).
    pub fn float(&self, key: &str) -> Result<f64> {
        required(key, self.opt_float(key))
    }

    /// The byte string at `key`.
    ///
    /// # Errors
    ///
    /// As [`bool`](Self::bool).
    pub fn bytes(&self, key: &str) -> Result<&Bytes> {
        required(key, self.opt_bytes(key))
    }

    /// The text at `key`.
    ///
    /// # Errors
    ///
    /// As [`bool`](Self::bool).
    pub fn text(&self, key: &str) -> Result<&ByteString> {
        required(key, self.opt_text(key))
    }

    /// The list at `key`.
    ///
    /// # Errors
    ///
    /// As [`bool`](Self::bool).
    pub fn list(&self, key: &str) -> Result<&[Value]> {
        required(key, self.opt_list(key))
    }

    /// The map at `key`.
    ///
    /// # Errors
    ///
    /// As [`bool`](Self::bool).
    pub fn map(&self, key: &str) -> Result<&Map> {
        required(key, self.opt_map(key))
    }

    /// The channel named at `key`.
    ///
    /// # Errors
    ///
    /// As [`bool`](Self::bool), and [`Error::InvalidName`].
    pub fn channel(&self, key: &str) -> Result<ChannelName> {
        required(key, self.opt_channel(key))
    }

    /// The boolean at `key`; `None` if the key is absent or null.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] if there is something else; so for all accessors named `opt_…`.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>> {
        match self.field(key) {
            Field::Bool(value) => Ok(Some(value)),
            field => typed(key, field, ValueKind::Bool, Value::as_bool),
        }
    }

    /// The integer at `key`; `None` if the key is absent or null.
    ///
    /// # Errors
    ///
    /// As [`opt_bool`](Self::opt_bool).
    pub fn opt_int(&self, key: &str) -> Result<Option<i64>> {
        match self.field(key) {
            Field::Int(value) => Ok(Some(value)),
            field => typed(key, field, ValueKind::Int, Value::as_int),
        }
    }

    /// The float at `key`, or the integer there converted; `None` if the key is absent or null.
    ///
    /// # Errors
    ///
    /// As [`opt_bool`](Self::opt_bool).
    pub fn opt_float(&self, key: &str) -> Result<Option<f64>> {
        match self.field(key) {
            Field::Int(value) => Ok(Some(value as f64)),
            field => typed(key, field, ValueKind::Float, |value| match value {
                Value::Int(int) => Some(*int as f64),
                other => other.as_float(),
            }),
        }
    }

    /// The byte string at `key`; `None` if the key is absent or null.
    ///
    /// # Errors
    ///
    /// As [`opt_bool`](Self::opt_bool).
    pub fn opt_bytes(&self, key: &str) -> Result<Option<&Bytes>> {
        match self.field(key) {
            Field::Bytes(value) => Ok(Some(value)),
            field => typed(key, field, ValueKind::Bytes, Value::as_bytes),
        }
    }

    /// The text at `key`; `None` if the key is absent or null.
    ///
    /// # Errors
    ///
    /// As [`opt_bool`](Self::opt_bool).
    pub fn opt_text(&self, key: &str) -> Result<Option<&ByteString>> {
        match self.field(key) {
            Field::Text(value) => Ok(Some(value)),
            Field::Channel(name) => Ok(Some(name.as_text())),
            field => typed(key, field, ValueKind::Text, Value::as_text),
        }
    }

    /// The list at `key`; `None` if the key is absent or null.
    ///
    /// # Errors
    ///
    /// As [`opt_bool`](Self::opt_bool).
    pub fn opt_list(&self, key: &str) -> Result<Option<&[Value]>> {
        typed(key, self.value(key), ValueKind::List, Value::as_list)
    }

    /// The map at `key`; `None` if the key is absent or null.
    ///
    /// # Errors
    ///
    /// As [`opt_bool`](Self::opt_bool).
    pub fn opt_map(&self, key: &str) -> Result<Option<&Map>> {
        typed(key, self.value(key), ValueKind::Map, Value::as_map)
    }

    /// The channel named at `key`; `None` if the key is absent or null.
    ///
    /// # Errors
    ///
    /// As [`opt_bool`](Self::opt_bool), and [`Error::InvalidName`].
    pub fn opt_channel(&self, key: &str) -> Result<Option<ChannelName>> {
        if let Field::Channel(name) = self.field(key) {
            return Ok(Some(name.clone()));
        }
        self.opt_text(key)?
            .map(|text| ChannelName::new(text.clone()))
            .transpose()
    }

    /// Roughly how many bytes the texts and byte strings of the message have, those in its lists
    /// and maps left out: for limits on what is kept in memory.
    #[must_use]
    pub fn payload_size(&self) -> usize {
        self.content.payload_size()
    }

    /// The value at `key`, even if it is a field so far.
    fn value(&self, key: &str) -> Field<'_> {
        self.get(key).map_or(Field::Absent, Field::Value)
    }
}

/// Converts what is at a key, if it is a value.
fn typed<'m, T>(
    key: &str,
    field: Field<'m>,
    expected: ValueKind,
    convert: impl FnOnce(&'m Value) -> Option<T>,
) -> Result<Option<T>> {
    let converted = match field {
        Field::Absent | Field::Value(Value::Null) => return Ok(None),
        Field::Value(value) => convert(value),
        _ => None,
    };
    match (converted, field.kind()) {
        (None, Some(found)) => Err(Error::WrongType {
            key: key.to_owned(),
            expected,
            found,
        }),
        (converted, _) => Ok(converted),
    }
}

fn required<T>(key: &str, value: Result<Option<T>>) -> Result<T> {
    value?.ok_or_else(|| Error::MissingKey {
        key: key.to_owned(),
    })
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.as_map() == other.as_map()
    }
}

impl From<Map> for Message {
    fn from(map: Map) -> Self {
        Self {
            content: Content::Map(Arc::new(map)),
        }
    }
}

impl<K: Into<ByteString>, V: Into<Value>> Extend<(K, V)> for Message {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        self.content.make_mut().extend(entries);
    }
}

impl<K: Into<ByteString>, V: Into<Value>> FromIterator<(K, V)> for Message {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::from(Map::from_iter(entries))
    }
}

impl<K: Into<ByteString>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Message {
    fn from(entries: [(K, V); N]) -> Self {
        Self::from(Map::from(entries))
    }
}

impl From<Message> for Map {
    fn from(message: Message) -> Self {
        message.into_map()
    }
}

impl AsRef<Map> for Message {
    fn as_ref(&self) -> &Map {
        self.as_map()
    }
}

impl IntoIterator for Message {
    type Item = (ByteString, Value);
    type IntoIter = std::vec::IntoIter<(ByteString, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_map().into_iter()
    }
}

impl<'a> IntoIterator for &'a Message {
    type Item = (&'a ByteString, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes a [`Message`] down: `message! { "text" => "hello", "close" => true }`.
///
/// Keys are string literals and are not copied; values are anything that converts into a
/// [`Value`], nested messages and arrays included.
///
/// ```
/// use asgiref::message;
///
/// let reply = message! {
///     "status" => 200,
///     "headers" => [[b"content-type".as_slice(), b"text/plain"]],
///     "content" => b"Hello!",
/// };
/// assert_eq!(reply.len(), 3);
/// ```
#[macro_export]
macro_rules! message {
    () => { $crate::Message::new() };
    ($($key:literal => $value:expr),+ $(,)?) => {{
        let mut map = $crate::Map::with_capacity([$($key),+].len());
        $( map.insert($crate::ByteString::from_static($key), $value); )+
        $crate::Message::from(map)
    }};
}
