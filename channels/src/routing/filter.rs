use std::fmt;
use std::sync::Arc;

use asgiref::{ByteString, Bytes, Message};
use regex::Regex;

use crate::error::{Error, Result};
use crate::params::RouteParams;

/// A pattern that the value of one message key must begin with.
///
/// As in Python's `re.match` the pattern is anchored at the start of the value and not at its
/// end. Only text matches, and byte strings that are ASCII; a value of another type, or a missing
/// key, does not match.
#[derive(Clone)]
pub(crate) struct Filter {
    key: ByteString,
    pattern: String,
    regex: Regex,
    /// Named groups: their numbers and names.
    groups: Arc<[(usize, ByteString)]>,
}

/// The part of one key's value that includes have left for what is inside them.
///
/// A linked list on the stack, innermost first.
#[derive(Clone, Copy)]
pub(super) struct Cut<'a> {
    pub(super) key: &'a str,
    /// Bytes taken away from the start of the value.
    pub(super) offset: usize,
    pub(super) outer: Option<&'a Self>,
}

/// Whether a filter's key is in the message, and if so, where its match ends.
pub(super) enum Verdict {
    /// The value matches up to this offset in the whole value.
    Matches {
        end: usize,
    },
    Differs,
    /// The message does not have the key.
    Absent,
}

impl Filter {
    pub(super) fn new(key: &str, pattern: &str) -> Result<Self> {
        let invalid = |reason: String| Error::InvalidPattern {
            key: key.to_owned(),
            pattern: pattern.to_owned(),
            reason,
        };
        // Compiled as it stands first: an unbalanced `)` must not close the group added below.
        let plain = Regex::new(pattern).map_err(|error| invalid(explain(&error)))?;
        let mut groups = Vec::new();
        for (number, name) in plain.capture_names().enumerate().skip(1) {
            let name = name.ok_or_else(|| {
                invalid(
                    "captures are passed by name: write `(?P<name>...)`, \
                     or `(?:...)` for a group that captures nothing"
                        .to_owned(),
                )
            })?;
            groups.push((number, ByteString::from(name)));
        }
        // The line break ends a comment that the `x` flag allows; elsewhere it would be matched.
        let anchored = Regex::new(&format!(r"\A(?:{pattern})"))
            .or_else(|_| Regex::new(&format!("\\A(?:{pattern}\n)")))
            .map_err(|error| invalid(explain(&error)))?;
        Ok(Self {
            key: key.into(),
            pattern: pattern.to_owned(),
            regex: anchored,
            groups: groups.into(),
        })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Matches the message and adds what the groups captured to `params`.
    pub(super) fn check(
        &self,
        message: &Message,
        cuts: Option<&Cut<'_>>,
        params: &mut RouteParams,
    ) -> Verdict {
        let value = match MatchedValue::of(message, &self.key) {
            Ok(value) => value,
            Err(verdict) => return verdict,
        };
        let text = value.as_str();
        let offset = offset_of(&self.key, cuts);
        let rest = &text[offset..];
        if self.groups.is_empty() {
            return match self.regex.find(rest) {
                Some(found) => Verdict::Matches {
                    end: offset + found.end(),
                },
                None => Verdict::Differs,
            };
        }
        let Some(captures) = self.regex.captures(rest) else {
            return Verdict::Differs;
        };
        for (number, name) in &*self.groups {
            let captured = captures.get(*number);
            let captured = captured.map(|part| value.slice(part.as_str()));
            params.push(name.clone(), captured);
        }
        Verdict::Matches {
            end: offset + captures.get_match().end(),
        }
    }
}

/// Where the value of `key` begins for someone inside `cuts`.
fn offset_of(key: &str, mut cuts: Option<&Cut<'_>>) -> usize {
    while let Some(cut) = cuts {
        if cut.key == key {
            return cut.offset;
        }
        cuts = cut.outer;
    }
    0
}

/// The value of a key that patterns can be matched against.
enum MatchedValue<'m> {
    Text(&'m ByteString),
    /// A byte string that is ASCII.
    Ascii(&'m Bytes, &'m str),
}

impl<'m> MatchedValue<'m> {
    /// Asks for the types in turn, because asking for a value of any type would turn a message
    /// that is a struct so far into a map.
    fn of(message: &'m Message, key: &str) -> Result<Self, Verdict> {
        if let Ok(text) = message.opt_text(key) {
            return match text {
                Some(text) => Ok(Self::Text(text)),
                None if message.contains_key(key) => Err(Verdict::Differs),
                None => Err(Verdict::Absent),
            };
        }
        match message.opt_bytes(key) {
            Ok(Some(bytes)) if bytes.is_ascii() => std::str::from_utf8(bytes)
                .map(|text| Self::Ascii(bytes, text))
                .map_err(|_| Verdict::Differs),
            _ => Err(Verdict::Differs),
        }
    }

    fn as_str(&self) -> &'m str {
        match self {
            Self::Text(text) => text,
            Self::Ascii(_, text) => text,
        }
    }

    /// `part`, which lies within the text, sharing its memory.
    fn slice(&self, part: &str) -> ByteString {
        match self {
            Self::Text(text) => text.slice_ref(part),
            Self::Ascii(bytes, _) => {
                let part: Bytes = bytes.slice_ref(part.as_bytes());
                ByteString::try_from(part).unwrap_or_default()
            }
        }
    }
}

/// The regex crate's complaint, without the copy of the pattern it begins with.
fn explain(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit("error: ").next().unwrap_or(&text).trim();
    if reason.contains("look-around") || reason.contains("backreferences") {
        format!("{reason} (patterns are matched in linear time, which rules these out)")
    } else {
        reason.to_owned()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.pattern)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
