use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;

use crate::map::Map;
use crate::name::ChannelName;
use crate::protocol::{Address, Headers};
use crate::value::{Value, ValueKind};

/// What a message holds: a map, or a struct that becomes one when somebody asks for it.
///
/// A struct of [`protocol`](crate::protocol) that goes from a server to a worker in the same
/// process is made, read and dropped without ever being a map.
#[derive(Clone)]
pub(super) enum Content {
    Map(Arc<Map>),
    Typed(Arc<Typed<dyn View>>),
}

/// A struct, and the map it is once that was asked for.
pub(super) struct Typed<V: ?Sized> {
    map: OnceLock<Map>,
    view: V,
}

/// A struct with the contents of a message.
pub(crate) trait View: Send + Sync + 'static {
    /// The field that is at `key` in the [map](Self::to_map); [`Field::Absent`] if there is none.
    fn field(&self, key: &str) -> Field<'_>;

    /// The contents as a map.
    fn to_map(&self) -> Map;

    /// How many bytes its texts and byte strings have, about.
    fn payload_size(&self) -> usize;
}

/// What is at a key of a message.
#[derive(Clone, Copy)]
pub(crate) enum Field<'m> {
    Absent,
    Value(&'m Value),
    Bool(bool),
    Int(i64),
    Bytes(&'m Bytes),
    Text(&'m ByteString),
    Channel(&'m ChannelName),
    Headers(&'m Headers),
    Address(&'m Address),
}

impl Content {
    pub(super) fn of_view(view: impl View) -> Self {
        Self::Typed(Arc::new(Typed {
            map: OnceLock::new(),
            view,
        }))
    }

    pub(super) fn field(&self, key: &str) -> Field<'_> {
        match self {
            Self::Map(map) => map.get(key).map_or(Field::Absent, Field::Value),
            Self::Typed(typed) => typed.view.field(key),
        }
    }

    pub(super) fn payload_size(&self) -> usize {
        match self {
            Self::Map(map) => map.values().map(payload_size).sum(),
            Self::Typed(typed) => typed.view.payload_size(),
        }
    }

    pub(super) fn as_map(&self) -> &Map {
        match self {
            Self::Map(map) => map,
            Self::Typed(typed) => typed.map.get_or_init(|| typed.view.to_map()),
        }
    }

    pub(super) fn into_map(self) -> Map {
        match self {
            Self::Map(map) => Arc::unwrap_or_clone(map),
            Self::Typed(mut typed) => {
                let known = match Arc::get_mut(&mut typed) {
                    Some(unshared) => unshared.map.take(),
                    None => typed.map.get().cloned(),
                };
                known.unwrap_or_else(|| typed.view.to_map())
            }
        }
    }

    /// The map, to be changed; copied first if it is shared.
    pub(super) fn make_mut(&mut self) -> &mut Map {
        if let Self::Typed(_) = self {
            let typed = std::mem::take(self);
            *self = Self::Map(Arc::new(typed.into_map()));
        }
        match self {
            Self::Map(map) => Arc::make_mut(map),
            Self::Typed(_) => unreachable!("it was made a map"),
        }
    }
}

fn payload_size(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Text(text) => text.len(),
        _ => 0,
    }
}

impl Default for Content {
    fn default() -> Self {
        Self::Map(Arc::default())
    }
}

impl Field<'_> {
    /// The type of the value in the map; `None` if there is none.
    pub(super) const fn kind(&self) -> Option<ValueKind> {
        match self {
            Self::Absent => None,
            Self::Value(value) => Some(value.kind()),
            Self::Bool(_) => Some(ValueKind::Bool),
            Self::Int(_) => Some(ValueKind::Int),
            Self::Bytes(_) => Some(ValueKind::Bytes),
            Self::Text(_) | Self::Channel(_) => Some(ValueKind::Text),
            Self::Headers(_) | Self::Address(_) => Some(ValueKind::List),
        }
    }
}

impl<'m> Field<'m> {
    /// The field of a struct that may not be set.
    pub(crate) fn of<T: ?Sized>(field: Option<&'m T>) -> Self
    where
        Self: From<&'m T>,
    {
        field.map_or(Self::Absent, Self::from)
    }
}

macro_rules! from_reference {
    ($($type:ident)*) => {$(
        impl<'m> From<&'m $type> for Field<'m> {
            fn from(field: &'m $type) -> Self {
                Self::$type(field)
            }
        }
    )*};
}

from_reference!(Bytes Headers Address);

impl<'m> From<&'m ByteString> for Field<'m> {
    fn from(field: &'m ByteString) -> Self {
        Self::Text(field)
    }
}

impl<'m> From<&'m ChannelName> for Field<'m> {
    fn from(field: &'m ChannelName) -> Self {
        Self::Channel(field)
    }
}
