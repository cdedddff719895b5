//! From a Rust type to a value.

use std::fmt::Display;

use ::serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use bytes::Bytes;
use bytestring::ByteString;

use super::fault::Fault;
use super::value::beyond_64_bits;
use crate::map::Map;
use crate::value::Value;

/// Items room is made for before any of them has come: an iterator may announce what it has not.
const MAX_RESERVED: usize = 1024;

/// Makes a [`Value`] of what stands `depth` levels deep.
#[derive(Clone, Copy)]
pub(super) struct ValueSerializer {
    depth: usize,
}

impl ValueSerializer {
    pub(super) const fn new() -> Self {
        Self { depth: 0 }
    }

    /// What makes the values in this one.
    fn inner(self) -> Result<Self, Fault> {
        if self.depth >= Value::MAX_DEPTH {
            let limit = Value::MAX_DEPTH;
            return Err(Fault::new(format_args!("nested more than {limit} deep")));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }

    fn list(self, length: usize, variant: Option<&'static str>) -> Result<ListSerializer, Fault> {
        Ok(ListSerializer {
            items: Vec::with_capacity(length.min(MAX_RESERVED)),
            inner: self.inner()?,
            variant,
        })
    }

    fn map(self, length: usize, variant: Option<&'static str>) -> Result<MapSerializer, Fault> {
        Ok(MapSerializer {
            map: Map::with_capacity(length.min(MAX_RESERVED)),
            key: None,
            inner: self.inner()?,
            variant,
        })
    }
}

macro_rules! small_integers {
    ($($method:ident: $type:ty),* $(,)?) => {$(
        fn $method(self, value: $type) -> Result<Value, Fault> {
            Ok(Value::from(value))
        }
    )*};
}

macro_rules! large_integers {
    ($($method:ident: $type:ty),* $(,)?) => {$(
        fn $method(self, value: $type) -> Result<Value, Fault> {
            Value::try_from(value).map_err(|_| Fault::new(beyond_64_bits(value)))
        }
    )*};
}

impl Serializer for ValueSerializer {
    type Ok = Value;
    type Error = Fault;
    type SerializeSeq = ListSerializer;
    type SerializeTuple = ListSerializer;
    type SerializeTupleStruct = ListSerializer;
    type SerializeTupleVariant = ListSerializer;
    type SerializeMap = MapSerializer;
    type SerializeStruct = MapSerializer;
    type SerializeStructVariant = MapSerializer;

    small_integers! {
        serialize_bool: bool,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_str: &str,
    }

    large_integers! { serialize_u64: u64, serialize_i128: i128, serialize_u128: u128 }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, Fault> {
        Ok(Value::Bytes(Bytes::copy_from_slice(value)))
    }

    fn serialize_none(self) -> Result<Value, Fault> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Fault> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, Fault> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, Fault> {
        Ok(Value::Text(ByteString::from_static(variant)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Value, Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Fault> {
        let value = value.serialize(self.inner()?);
        Ok(in_variant(
            Some(variant),
            value.map_err(|fault| fault.at(variant))?,
        ))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<ListSerializer, Fault> {
        self.list(length.unwrap_or(0), None)
    }

    fn serialize_tuple(self, length: usize) -> Result<ListSerializer, Fault> {
        self.list(length, None)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<ListSerializer, Fault> {
        self.list(length, None)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<ListSerializer, Fault> {
        self.inner()?.list(length, Some(variant))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<MapSerializer, Fault> {
        self.map(length.unwrap_or(0), None)
    }

    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<MapSerializer, Fault> {
        self.map(length, None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<MapSerializer, Fault> {
        self.inner()?.map(length, Some(variant))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<Value, Fault> {
        Ok(Value::from(value.to_string()))
    }
}

/// Collects the items of a list.
pub(super) struct ListSerializer {
    items: Vec<Value>,
    inner: ValueSerializer,
    variant: Option<&'static str>,
}

impl ListSerializer {
    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Fault> {
        let at = self.items.len();
        let item = item.serialize(self.inner);
        self.items.push(item.map_err(|fault| fault.at(at))?);
        Ok(())
    }

    fn finish(self) -> Value {
        in_variant(self.variant, Value::List(self.items))
    }
}

/// Collects the entries of a map.
pub(super) struct MapSerializer {
    map: Map,
    /// A key whose value has not come yet.
    key: Option<ByteString>,
    inner: ValueSerializer,
    variant: Option<&'static str>,
}

impl MapSerializer {
    fn insert<T: Serialize + ?Sized>(&mut self, key: ByteString, value: &T) -> Result<(), Fault> {
        let value = value.serialize(self.inner);
        let value = value.map_err(|fault| fault.at(&key))?;
        self.map.insert(key, value);
        Ok(())
    }

    fn finish(self) -> Value {
        in_variant(self.variant, Value::Map(self.map))
    }
}

impl SerializeMap for MapSerializer {
    type Ok = Value;
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        match key.serialize(self.inner)? {
            Value::Text(text) => {
                self.key = Some(text);
                Ok(())
            }
            other => Err(Fault::new(format_args!(
                "the key of a map is {}, not text",
                other.kind()
            ))),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        match self.key.take() {
            Some(key) => self.insert(key, value),
            None => Err(Fault::new("the value of a map came without its key")),
        }
    }

    fn end(self) -> Result<Value, Fault> {
        Ok(self.finish())
    }
}

macro_rules! lists {
    ($($trait:ident $method:ident),* $(,)?) => {$(
        impl $trait for ListSerializer {
            type Ok = Value;
            type Error = Fault;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Fault> {
                self.push(item)
            }

            fn end(self) -> Result<Value, Fault> {
                Ok(self.finish())
            }
        }
    )*};
}

lists! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! structs {
    ($($trait:ident)*) => {$(
        impl $trait for MapSerializer {
            type Ok = Value;
            type Error = Fault;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Fault> {
                self.insert(ByteString::from_static(key), value)
            }

            fn end(self) -> Result<Value, Fault> {
                Ok(self.finish())
            }
        }
    )*};
}

structs!(SerializeStruct SerializeStructVariant);

/// The content of an enum's variant: a map from the variant's name to it.
fn in_variant(variant: Option<&'static str>, content: Value) -> Value {
    match variant {
        None => content,
        Some(name) => Value::Map(Map::from([(ByteString::from_static(name), content)])),
    }
}
