//! The rules, as functions that can run at compile time.

use super::pattern::RANDOM_PART_LENGTH;
use super::{ChannelKind, MAX_NAME_LENGTH};

const TOO_LONG: &str = "it is longer than 199 bytes";
const EMPTY: &str = "it is empty";
const ILLEGAL: &str = "only ASCII letters, digits, `.`, `-` and `_` are allowed";
const NO_MAIN_NAME: &str = "something must come before the `?` or `!`";

/// What a byte is in a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Illegal,
    Name,
    Type,
}

/// The class of every byte. Names are checked for every message, so this is looked up.
const CLASSES: [Class; 256] = {
    let mut classes = [Class::Illegal; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' => Class::Name,
            b'?' | b'!' => Class::Type,
            _ => Class::Illegal,
        };
        byte += 1;
    }
    classes
};

const fn is_name_byte(byte: u8) -> bool {
    matches!(CLASSES[byte as usize], Class::Name)
}

/// Checks what follows a `!` that comes after `head` bytes.
pub(super) const fn parse_local_part(head: usize, local: &[u8]) -> Result<(), &'static str> {
    if head + local.len() > MAX_NAME_LENGTH {
        return Err(TOO_LONG);
    }
    let mut at = 0;
    while at < local.len() {
        if !is_name_byte(local[at]) {
            return Err(ILLEGAL);
        }
        at += 1;
    }
    Ok(())
}

pub(super) const fn parse_channel(name: &[u8]) -> Result<(ChannelKind, u8), &'static str> {
    if name.is_empty() {
        return Err(EMPTY);
    }
    if name.len() > MAX_NAME_LENGTH {
        return Err(TOO_LONG);
    }
    let mut kind = ChannelKind::Normal;
    let mut head = name.len();
    let mut at = 0;
    while at < name.len() {
        let byte = name[at];
        let class = CLASSES[byte as usize];
        if matches!(class, Class::Type) {
            if !matches!(kind, ChannelKind::Normal) {
                return Err("it has more than one `?` or `!`");
            }
            if at == 0 {
                return Err(NO_MAIN_NAME);
            }
            kind = if byte == b'?' {
                ChannelKind::SingleReader
            } else {
                ChannelKind::ProcessSpecific
            };
            head = at + 1;
        } else if matches!(class, Class::Illegal) {
            return Err(ILLEGAL);
        }
        at += 1;
    }
    if matches!(kind, ChannelKind::SingleReader) && head == name.len() {
        return Err("a single-reader name needs something after the `?`");
    }
    Ok((kind, head as u8))
}

pub(super) const fn parse_group(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err(EMPTY);
    }
    if name.len() > MAX_NAME_LENGTH {
        return Err(TOO_LONG);
    }
    let mut at = 0;
    while at < name.len() {
        if !is_name_byte(name[at]) {
            return Err(ILLEGAL);
        }
        at += 1;
    }
    Ok(())
}

pub(super) const fn parse_pattern(pattern: &[u8]) -> Result<(), &'static str> {
    if pattern.is_empty() {
        return Err(EMPTY);
    }
    if pattern.len() > MAX_NAME_LENGTH - RANDOM_PART_LENGTH {
        return Err("it is longer than 183 bytes, which leaves no room for the random part");
    }
    let last = pattern.len() - 1;
    if pattern[last] != b'?' && pattern[last] != b'!' {
        return Err("a pattern ends in `?` or `!`");
    }
    if last == 0 {
        return Err(NO_MAIN_NAME);
    }
    let mut at = 0;
    while at < last {
        if !is_name_byte(pattern[at]) {
            return Err(ILLEGAL);
        }
        at += 1;
    }
    Ok(())
}
