use std::convert::Infallible;

use bytes::Bytes;
use rmp::encode::{
    ByteBuf, ValueWriteError, write_array_len, write_bin, write_bool, write_f64, write_map_len,
    write_nil, write_sint, write_str,
};

use crate::error::{Error, Result};
use crate::map::Map;
use crate::message::Message;
use crate::name::ChannelName;
use crate::value::Value;

use super::{CHANNEL_KEY, MAX_VALUES};

/// The size `message` will have in bytes, `channel`'s name included if there is one to be sent
/// along.
///
/// # Errors
///
/// [`Error::InvalidMessage`] if it has a key or a nesting that must not be sent.
pub(super) fn measure(message: &Message, channel: Option<&ChannelName>) -> Result<usize> {
    let entries = message.len() + usize::from(channel.is_some());
    let mut values = Values(0);
    let mut size = length_of_list(entries);
    for (key, value) in message {
        let invalid = |reason| Error::invalid_message(&key[..key.floor_char_boundary(64)], reason);
        if key == CHANNEL_KEY {
            return Err(invalid(Unsendable::Reserved));
        }
        size += length_of_text(key.len());
        size = size.saturating_add(values.measure(value, 1).map_err(invalid)?);
    }
    if let Some(channel) = channel {
        size += length_of_text(CHANNEL_KEY.len()) + length_of_text(channel.as_str().len());
    }
    Ok(size)
}

/// The bytes of `message`, which [`measure`] found to be `size`.
pub(super) fn encode(message: &Message, channel: Option<&ChannelName>, size: usize) -> Bytes {
    let mut bytes = ByteBuf::with_capacity(size);
    let written: Written = (|| {
        let entries = message.len() + usize::from(channel.is_some());
        write_map_len(&mut bytes, entries as u32)?;
        write_entries(&mut bytes, message.as_map())?;
        if let Some(channel) = channel {
            write_str(&mut bytes, CHANNEL_KEY)?;
            write_str(&mut bytes, channel.as_str())?;
        }
        Ok(())
    })();
    match written {
        Ok(()) => {}
        Err(
            ValueWriteError::InvalidMarkerWrite(never) | ValueWriteError::InvalidDataWrite(never),
        ) => match never {},
    }
    debug_assert_eq!(bytes.as_slice().len(), size);
    bytes.into_vec().into()
}

type Written = Result<(), ValueWriteError<Infallible>>;

/// Lengths fit into 32 bits: the size of the whole does.
fn write(bytes: &mut ByteBuf, value: &Value) -> Written {
    match value {
        Value::Null => write_nil(bytes).map_err(ValueWriteError::InvalidMarkerWrite),
        Value::Bool(value) => {
            write_bool(bytes, *value).map_err(ValueWriteError::InvalidMarkerWrite)
        }
        Value::Int(value) => write_sint(bytes, *value).map(drop),
        Value::Float(value) => write_f64(bytes, *value),
        Value::Bytes(value) => write_bin(bytes, value),
        Value::Text(value) => write_str(bytes, value),
        Value::List(items) => {
            write_array_len(bytes, items.len() as u32)?;
            items.iter().try_for_each(|item| write(bytes, item))
        }
        Value::Map(map) => {
            write_map_len(bytes, map.len() as u32)?;
            write_entries(bytes, map)
        }
    }
}

fn write_entries(bytes: &mut ByteBuf, map: &Map) -> Written {
    map.iter().try_for_each(|(key, value)| {
        write_str(bytes, key)?;
        write(bytes, value)
    })
}

/// Why a value cannot be sent.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error("the key is reserved for channel layers")]
    Reserved,
    #[error("lists and maps are nested deeper than {} levels", Value::MAX_DEPTH)]
    TooDeep,
    #[error("the message holds more than {MAX_VALUES} values up to here")]
    TooMany,
}

/// How many values were measured.
struct Values(usize);

impl Values {
    /// The size of a value inside of `depth` lists and maps.
    fn measure(&mut self, value: &Value, depth: usize) -> Result<usize, Unsendable> {
        self.0 += 1;
        if self.0 > MAX_VALUES {
            return Err(Unsendable::TooMany);
        }
        Ok(match value {
            Value::Null | Value::Bool(_) => 1,
            Value::Int(value) => length_of_int(*value),
            Value::Float(_) => 9,
            Value::Bytes(value) => length_of_bytes(value.len()),
            Value::Text(value) => length_of_text(value.len()),
            Value::List(items) => {
                let depth = deeper(depth)?;
                let mut size = length_of_list(items.len());
                for item in items {
                    size = size.saturating_add(self.measure(item, depth)?);
                }
                size
            }
            Value::Map(map) => {
                let depth = deeper(depth)?;
                let mut size = length_of_list(map.len());
                for (key, value) in map {
                    size = size.saturating_add(length_of_text(key.len()));
                    size = size.saturating_add(self.measure(value, depth)?);
                }
                size
            }
        })
    }
}

const fn deeper(depth: usize) -> Result<usize, Unsendable> {
    if depth >= Value::MAX_DEPTH {
        return Err(Unsendable::TooDeep);
    }
    Ok(depth + 1)
}

const fn length_of_int(value: i64) -> usize {
    match value {
        -0x20..=0x7f => 1,
        -0x80..=0xff => 2,
        -0x8000..=0xffff => 3,
        -0x8000_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

const fn length_of_text(length: usize) -> usize {
    let head = match length {
        0..=0x1f => 1,
        0x20..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    };
    length.saturating_add(head)
}

const fn length_of_bytes(length: usize) -> usize {
    let head = match length {
        0..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    };
    length.saturating_add(head)
}

/// The head of a list or map alone.
const fn length_of_list(items: usize) -> usize {
    match items {
        0..=0xf => 1,
        0x10..=0xffff => 3,
        _ => 5,
    }
}
