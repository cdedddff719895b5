//! From a value to a Rust type.

use ::serde::de::value::SeqDeserializer;
use ::serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use ::serde::forward_to_deserialize_any;
use bytestring::ByteString;

use super::fault::Fault;
use crate::map::{Iter, Map};
use crate::value::Value;

/// Reads a value that stands `depth` levels deep.
#[derive(Clone, Copy)]
pub(super) struct ValueDeserializer<'de> {
    content: Content<'de>,
    depth: usize,
}

/// A value, or the map of a message, which is not part of one.
#[derive(Clone, Copy)]
enum Content<'de> {
    Value(&'de Value),
    Map(&'de Map),
}

impl<'de> ValueDeserializer<'de> {
    pub(super) const fn of_map(map: &'de Map) -> Self {
        Self {
            content: Content::Map(map),
            depth: 0,
        }
    }

    fn inner(self, value: &'de Value) -> Result<Self, Fault> {
        if self.depth >= Value::MAX_DEPTH {
            let limit = Value::MAX_DEPTH;
            return Err(Fault::new(format_args!("nested more than {limit} deep")));
        }
        Ok(Self {
            content: Content::Value(value),
            depth: self.depth + 1,
        })
    }

    fn visit_list<V: Visitor<'de>>(
        self,
        items: &'de [Value],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let mut access = ListAccess {
            items,
            at: 0,
            outer: self,
        };
        let value = visitor.visit_seq(&mut access)?;
        match access.size_hint() {
            Some(0) | None => Ok(value),
            Some(_) => Err(Fault::invalid_length(
                items.len(),
                &format!("a list of {} items", access.at).as_str(),
            )),
        }
    }

    fn visit_map<V: Visitor<'de>>(self, map: &'de Map, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(EntryAccess {
            entries: map.iter(),
            current: None,
            outer: self,
        })
    }
}

impl<'de> Deserializer<'de> for ValueDeserializer<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.content {
            Content::Map(map) | Content::Value(Value::Map(map)) => self.visit_map(map, visitor),
            Content::Value(Value::Null) => visitor.visit_unit(),
            Content::Value(Value::Bool(value)) => visitor.visit_bool(*value),
            Content::Value(Value::Int(value)) => visitor.visit_i64(*value),
            Content::Value(Value::Float(value)) => visitor.visit_f64(*value),
            Content::Value(Value::Bytes(bytes)) => visitor.visit_borrowed_bytes(bytes),
            Content::Value(Value::Text(text)) => visitor.visit_borrowed_str(text),
            Content::Value(Value::List(items)) => self.visit_list(items, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.content {
            Content::Value(Value::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// A `Vec<u8>` asks for a list, and may have a byte string.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.content {
            Content::Value(Value::Bytes(bytes)) => {
                visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied()))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.content {
            Content::Value(Value::Text(name)) => visitor.visit_enum(Variant {
                name,
                content: None,
            }),
            Content::Map(map) | Content::Value(Value::Map(map)) => {
                let mut entries = map.iter();
                let (Some((name, content)), None) = (entries.next(), entries.next()) else {
                    return Err(Fault::invalid_length(
                        map.len(),
                        &"a map from a variant's name to its content",
                    ));
                };
                let content = self.inner(content)?;
                visitor
                    .visit_enum(Variant {
                        name,
                        content: Some(content),
                    })
                    .map_err(|fault| fault.at(name))
            }
            Content::Value(_) => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

struct ListAccess<'de> {
    items: &'de [Value],
    at: usize,
    outer: ValueDeserializer<'de>,
}

impl<'de> SeqAccess<'de> for ListAccess<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.items.get(self.at) else {
            return Ok(None);
        };
        let at = self.at;
        self.at += 1;
        seed.deserialize(self.outer.inner(item)?)
            .map(Some)
            .map_err(|fault| fault.at(at))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.at)
    }
}

struct EntryAccess<'de> {
    entries: Iter<'de>,
    /// The entry whose key was taken and whose value was not.
    current: Option<(&'de ByteString, &'de Value)>,
    outer: ValueDeserializer<'de>,
}

impl<'de> MapAccess<'de> for EntryAccess<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.next();
        let Some((key, _)) = self.current else {
            return Ok(None);
        };
        seed.deserialize(BorrowedText(key))
            .map(Some)
            .map_err(|fault| fault.at(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, value)) = self.current.take() else {
            return Err(Fault::new(
                "the value of a map was asked for before its key",
            ));
        };
        seed.deserialize(self.outer.inner(value)?)
            .map_err(|fault| fault.at(key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A key of a map, or the name of an enum's variant.
struct BorrowedText<'de>(&'de str);

impl<'de> Deserializer<'de> for BorrowedText<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(Variant {
            name: self.0,
            content: None,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// An enum's variant: its name, and what it holds if it holds something.
struct Variant<'de> {
    name: &'de str,
    content: Option<ValueDeserializer<'de>>,
}

impl<'de> Variant<'de> {
    fn content(self, expected: &str) -> Result<ValueDeserializer<'de>, Fault> {
        self.content
            .ok_or_else(|| Fault::invalid_type(Unexpected::UnitVariant, &expected))
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        Ok((seed.deserialize(BorrowedText(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None => Ok(()),
            Some(content) => ::serde::Deserialize::deserialize(content),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.content("a newtype variant")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Fault> {
        self.content("a tuple variant")?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.content("a struct variant")?.deserialize_any(visitor)
    }
}
