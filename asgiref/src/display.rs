//! Text forms for logs and errors: readable, and short whatever the message holds.

use std::fmt::{self, Display, Formatter};

use crate::map::Map;
use crate::message::Message;
use crate::value::Value;

/// Bytes of a text or byte string shown before it is cut.
const MAX_STRING: usize = 80;
/// Entries of a list or map shown before it is cut.
const MAX_ENTRIES: usize = 16;
/// Levels of nesting shown before they are cut.
const MAX_DEPTH: usize = 4;

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_value(self, f, 0)
    }
}

impl Display for Map {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_map(self, f, 0)
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_map(self.as_map(), f, 0)
    }
}

fn write_value(value: &Value, f: &mut Formatter<'_>, depth: usize) -> fmt::Result {
    match value {
        Value::Null => f.write_str("null"),
        Value::Bool(value) => write!(f, "{value}"),
        Value::Int(value) => write!(f, "{value}"),
        Value::Float(value) => write!(f, "{value:?}"),
        Value::Bytes(bytes) => {
            write!(
                f,
                "b\"{}\"",
                bytes[..bytes.len().min(MAX_STRING)].escape_ascii()
            )?;
            write_rest(bytes.len(), f)
        }
        Value::Text(text) => {
            write!(f, "{:?}", &text[..text.floor_char_boundary(MAX_STRING)])?;
            write_rest(text.len(), f)
        }
        Value::List(items) if depth >= MAX_DEPTH => write!(f, "[… {} items]", items.len()),
        Value::List(items) => {
            f.write_str("[")?;
            for (at, item) in items.iter().take(MAX_ENTRIES).enumerate() {
                if at > 0 {
                    f.write_str(", ")?;
                }
                write_value(item, f, depth + 1)?;
            }
            write_more(items.len(), f)?;
            f.write_str("]")
        }
        Value::Map(map) => write_map(map, f, depth),
    }
}

fn write_map(map: &Map, f: &mut Formatter<'_>, depth: usize) -> fmt::Result {
    if depth >= MAX_DEPTH {
        return write!(f, "{{… {} keys}}", map.len());
    }
    f.write_str("{")?;
    for (at, (key, value)) in map.iter().take(MAX_ENTRIES).enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{:?}", &key[..key.floor_char_boundary(MAX_STRING)])?;
        write_rest(key.len(), f)?;
        f.write_str(": ")?;
        write_value(value, f, depth + 1)?;
    }
    write_more(map.len(), f)?;
    f.write_str("}")
}

fn write_rest(length: usize, f: &mut Formatter<'_>) -> fmt::Result {
    if length > MAX_STRING {
        write!(f, "… ({length} bytes)")
    } else {
        Ok(())
    }
}

fn write_more(length: usize, f: &mut Formatter<'_>) -> fmt::Result {
    if length > MAX_ENTRIES {
        write!(f, ", … {} more", length - MAX_ENTRIES)
    } else {
        Ok(())
    }
}
