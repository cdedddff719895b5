//! Text forms for logs and errors: readable, and short whatever the message holds.

use std::fmt::{self, Display, Formatter, Write};

use crate::map::Map;
use crate::message::Message;
use crate::value::Value;

/// Bytes a text form has before it is cut.
const MAX_LENGTH: usize = 1024;
/// Bytes of a text or byte string shown before it is cut.
const MAX_STRING: usize = 80;
/// Entries of a list or map shown before it is cut.
const MAX_ENTRIES: usize = 16;
/// Levels of nesting shown before they are cut.
const MAX_DEPTH: usize = 4;

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_short(f, |out| write_value(self, out, 0))
    }
}

impl Display for Map {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_short(f, |out| write_map(self, out, 0))
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self.as_map(), f)
    }
}

/// Passes text on until there has been [`MAX_LENGTH`] of it, then fails, which ends the writing.
struct Short<'a, 'f> {
    out: &'a mut Formatter<'f>,
    left: usize,
    cut: bool,
}

impl Write for Short<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let shown = &text[..text.floor_char_boundary(self.left)];
        self.left -= shown.len();
        self.out.write_str(shown)?;
        if shown.len() < text.len() {
            self.cut = true;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

fn write_short(
    out: &mut Formatter<'_>,
    write: impl FnOnce(&mut Short<'_, '_>) -> fmt::Result,
) -> fmt::Result {
    let mut short = Short {
        out,
        left: MAX_LENGTH,
        cut: false,
    };
    match write(&mut short) {
        Err(_) if short.cut => short.out.write_str("…"),
        result => result,
    }
}

fn write_value(value: &Value, out: &mut Short<'_, '_>, depth: usize) -> fmt::Result {
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::Float(value) => write!(out, "{value:?}"),
        Value::Bytes(bytes) => {
            let shown = &bytes[..bytes.len().min(MAX_STRING)];
            write!(out, "b\"{}\"", shown.escape_ascii())?;
            write_rest(bytes.len(), out)
        }
        Value::Text(text) => write_text(text, out),
        Value::List(items) if depth >= MAX_DEPTH => write!(out, "[… {} items]", items.len()),
        Value::List(items) => {
            out.write_str("[")?;
            for (at, item) in items.iter().take(MAX_ENTRIES).enumerate() {
                if at > 0 {
                    out.write_str(", ")?;
                }
                write_value(item, out, depth + 1)?;
            }
            write_more(items.len(), out)?;
            out.write_str("]")
        }
        Value::Map(map) => write_map(map, out, depth),
    }
}

fn write_map(map: &Map, out: &mut Short<'_, '_>, depth: usize) -> fmt::Result {
    if depth >= MAX_DEPTH {
        return write!(out, "{{… {} keys}}", map.len());
    }
    out.write_str("{")?;
    for (at, (key, value)) in map.iter().take(MAX_ENTRIES).enumerate() {
        if at > 0 {
            out.write_str(", ")?;
        }
        write_text(key, out)?;
        out.write_str(": ")?;
        write_value(value, out, depth + 1)?;
    }
    write_more(map.len(), out)?;
    out.write_str("}")
}

fn write_text(text: &str, out: &mut Short<'_, '_>) -> fmt::Result {
    write!(out, "{:?}", &text[..text.floor_char_boundary(MAX_STRING)])?;
    write_rest(text.len(), out)
}

fn write_rest(length: usize, out: &mut Short<'_, '_>) -> fmt::Result {
    if length > MAX_STRING {
        write!(out, "… ({length} bytes)")
    } else {
        Ok(())
    }
}

fn write_more(length: usize, out: &mut Short<'_, '_>) -> fmt::Result {
    if length > MAX_ENTRIES {
        write!(out, ", … {} more", length - MAX_ENTRIES)
    } else {
        Ok(())
    }
}
