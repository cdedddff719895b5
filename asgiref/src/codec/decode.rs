use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use rmp::Marker;

use crate::error::{Error, Result};
use crate::map::Map;
use crate::message::Message;
use crate::value::Value;

use super::MAX_VALUES;

/// Room taken for a list or map before its items are there, in items: what messages usually hold.
const MAX_RESERVED: usize = 64;

/// What every Fernet token of this century begins with. As MessagePack it is a number.
const TOKEN: &[u8] = b"gAAAAA";

/// The message that `bytes` are.
pub(super) fn decode(bytes: Bytes) -> Result<Message> {
    let mut decoder = Decoder {
        bytes,
        at: 0,
        values: 0,
    };
    let is_token = decoder.bytes.starts_with(TOKEN);
    let Head::Map(entries) = decoder.head()? else {
        let reason = if is_token {
            "it looks encrypted; every process needs the same `symmetric_encryption_keys`"
        } else {
            "a message is a map, and this is not"
        };
        return Err(error(0, reason));
    };
    let map = decoder.map(entries, 1)?;
    if decoder.at < decoder.bytes.len() {
        return Err(error(decoder.at, "the message is over, but there is more"));
    }
    Ok(Message::from(map))
}

struct Decoder {
    bytes: Bytes,
    /// How many bytes are read.
    at: usize,
    /// How many values are read.
    values: usize,
}

/// A value, or the length of what it consists of: bytes, items or entries.
enum Head {
    Value(Value),
    Text(usize),
    Bytes(usize),
    List(usize),
    Map(usize),
}

impl Decoder {
    fn head(&mut self) -> Result<Head> {
        let from = self.at;
        let [byte] = self.array()?;
        Ok(match Marker::from_u8(byte) {
            Marker::Null => Head::Value(Value::Null),
            Marker::False => Head::Value(Value::Bool(false)),
            Marker::True => Head::Value(Value::Bool(true)),
            Marker::FixPos(value) => Head::Value(value.into()),
            Marker::FixNeg(value) => Head::Value(value.into()),
            Marker::U8 => Head::Value(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Head::Value(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Head::Value(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => match i64::try_from(u64::from_be_bytes(self.array()?)) {
                Ok(value) => Head::Value(value.into()),
                Err(_) => return Err(error(from, "an integer is above 2^63 - 1")),
            },
            Marker::I8 => Head::Value(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Head::Value(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Head::Value(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Head::Value(i64::from_be_bytes(self.array()?).into()),
            Marker::F32 => Head::Value(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Head::Value(f64::from_be_bytes(self.array()?).into()),
            Marker::FixStr(length) => Head::Text(length.into()),
            Marker::Str8 => Head::Text(self.length::<1>()?),
            Marker::Str16 => Head::Text(self.length::<2>()?),
            Marker::Str32 => Head::Text(self.length::<4>()?),
            Marker::Bin8 => Head::Bytes(self.length::<1>()?),
            Marker::Bin16 => Head::Bytes(self.length::<2>()?),
            Marker::Bin32 => Head::Bytes(self.length::<4>()?),
            Marker::FixArray(length) => Head::List(length.into()),
            Marker::Array16 => Head::List(self.length::<2>()?),
            Marker::Array32 => Head::List(self.length::<4>()?),
            Marker::FixMap(length) => Head::Map(length.into()),
            Marker::Map16 => Head::Map(self.length::<2>()?),
            Marker::Map32 => Head::Map(self.length::<4>()?),
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32 => return Err(error(from, "messages hold no extension types")),
            Marker::Reserved => return Err(error(from, "0xc1 begins no value")),
        })
    }

    /// The value that comes next, inside of `depth` lists and maps.
    fn value(&mut self, depth: usize) -> Result<Value> {
        let from = self.at;
        self.values += 1;
        if self.values > MAX_VALUES {
            let reason = format_args!("there are more than {MAX_VALUES} values");
            return Err(error(from, reason));
        }
        match self.head()? {
            Head::Value(value) => Ok(value),
            Head::Text(length) => self.text(length).map(Value::Text),
            Head::Bytes(length) => self.take(length).map(Value::Bytes),
            Head::List(_) | Head::Map(_) if depth >= Value::MAX_DEPTH => {
                let limit = Value::MAX_DEPTH;
                let reason = format_args!("lists and maps are nested deeper than {limit} levels");
                Err(error(from, reason))
            }
            Head::List(items) => self.list(items, depth + 1).map(Value::List),
            Head::Map(entries) => self.map(entries, depth + 1).map(Value::Map),
        }
    }

    fn list(&mut self, items: usize, depth: usize) -> Result<Vec<Value>> {
        self.check_rest(items)?;
        let mut list = Vec::with_capacity(items.min(MAX_RESERVED));
        for _ in 0..items {
            list.push(self.value(depth)?);
        }
        Ok(list)
    }

    fn map(&mut self, entries: usize, depth: usize) -> Result<Map> {
        self.check_rest(entries.saturating_mul(2))?;
        let mut map = Map::with_capacity(entries.min(MAX_RESERVED));
        for _ in 0..entries {
            let key = self.key()?;
            map.insert(key, self.value(depth)?);
        }
        Ok(map)
    }

    fn key(&mut self) -> Result<ByteString> {
        let from = self.at;
        match self.head()? {
            // Python 2 writes its byte strings, which most keys are there, as bytes.
            Head::Text(length) | Head::Bytes(length) => self.text(length),
            _ => Err(error(from, "a key is not text")),
        }
    }

    fn text(&mut self, length: usize) -> Result<ByteString> {
        let from = self.at;
        let bytes = self.take(length)?;
        ByteString::try_from(bytes).map_err(|_| error(from, "text is not UTF-8"))
    }

    /// The length in the next `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<usize> {
        let bytes: [u8; N] = self.array()?;
        Ok(bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.check_rest(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        Ok(array)
    }

    fn take(&mut self, length: usize) -> Result<Bytes> {
        self.check_rest(length)?;
        let taken = self.bytes.slice(self.at..self.at + length);
        self.at += length;
        Ok(taken)
    }

    /// Whether as many bytes are left as are announced.
    fn check_rest(&self, announced: usize) -> Result<()> {
        let rest = self.bytes.len() - self.at;
        if announced > rest {
            let reason = format_args!("{announced} bytes or more are announced, but {rest} follow");
            return Err(error(self.at, reason));
        }
        Ok(())
    }
}

fn error(offset: usize, reason: impl fmt::Display) -> Error {
    Error::Decode {
        offset,
        reason: reason.to_string(),
    }
}
