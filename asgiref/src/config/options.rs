use std::fmt;
use std::time::Duration;

use bytestring::ByteString;

use super::secret::{HIDDEN, is_secret, without_password};
use super::{duration, nearest};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::value::Value;

/// The options of a channel layer as they were written, to be taken one by one.
///
/// A value may be typed, as TOML has them, or text, as in a URL; both are read alike. What is left
/// when [`finish`](Self::finish) is called was not known.
///
/// `Debug` hides what may be a password or a key.
///
/// ```
/// use asgiref::config::Options;
///
/// let mut options = Options::from_iter([("timeout", "500ms"), ("retires", "3")]);
/// assert_eq!(options.take_duration("timeout")?.unwrap().as_millis(), 500);
/// assert_eq!(options.take_integer::<u32>("retries")?, None);
/// assert_eq!(
///     options.finish().unwrap_err().to_string(),
///     "configuration option `retires`: is not known; did you mean `retries`?",
/// );
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Options {
    entries: Map,
    /// The options asked for so far: those that the layer knows.
    known: Vec<&'static str>,
    /// The table the options stand in, for error messages.
    table: Option<String>,
}

impl Options {
    /// No options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says in which table the options stand, so that errors name it.
    #[must_use]
    pub(super) fn in_table(mut self, table: String) -> Self {
        self.table = Some(table);
        self
    }

    /// Adds an option; one that is there already becomes a list.
    pub fn push(&mut self, option: impl Into<ByteString>, value: impl Into<Value>) {
        let (option, value) = (option.into(), value.into());
        match self.entries.get_mut(&option) {
            None => {
                self.entries.insert(option, value);
            }
            Some(Value::List(items)) => items.push(value),
            Some(first) => {
                let first_value = std::mem::take(first);
                *first = Value::List(vec![first_value, value]);
            }
        }
    }

    /// Whether `option` is there and was not taken.
    #[must_use]
    pub fn contains(&self, option: &str) -> bool {
        self.entries.contains_key(option)
    }

    /// Takes the value of `option` as it was written.
    pub fn take(&mut self, option: &'static str) -> Option<Value> {
        if !self.known.contains(&option) {
            self.known.push(option);
        }
        self.entries.remove(option)
    }

    /// Takes an option that is text.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the option, if the value is something else; so for all methods
    /// named `take_…`.
    pub fn take_text(&mut self, option: &'static str) -> Result<Option<String>> {
        self.take_as(option, |value| match value {
            Value::Text(text) => Ok(text.into()),
            _ => Err("must be text".into()),
        })
    }

    /// Takes an option that is true or false.
    ///
    /// # Errors
    ///
    /// As [`take_text`](Self::take_text).
    pub fn take_bool(&mut self, option: &'static str) -> Result<Option<bool>> {
        self.take_as(option, |value| match value {
            Value::Bool(value) => Ok(value),
            Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err("must be `true` or `false`".into()),
            },
            _ => Err("must be `true` or `false`".into()),
        })
    }

    /// Takes an option that is a whole number within the range of `T`.
    ///
    /// # Errors
    ///
    /// As [`take_text`](Self::take_text).
    pub fn take_integer<T: TryFrom<i64>>(&mut self, option: &'static str) -> Result<Option<T>> {
        self.take_as(option, integer)
    }

    /// Takes an option that is a duration: seconds, or a number with a unit.
    ///
    /// # Errors
    ///
    /// As [`take_text`](Self::take_text).
    pub fn take_duration(&mut self, option: &'static str) -> Result<Option<Duration>> {
        self.take_as(option, |value| {
            match value {
                Value::Int(seconds) => duration::from_seconds(seconds as f64),
                Value::Float(seconds) => duration::from_seconds(seconds),
                Value::Text(text) => duration::parse(&text),
                _ => Err("must be a number of seconds or text"),
            }
            .map_err(str::to_owned)
        })
    }

    /// Takes an option that is a list of texts; a single text is a list of one.
    ///
    /// # Errors
    ///
    /// As [`take_text`](Self::take_text).
    pub fn take_texts(&mut self, option: &'static str) -> Result<Option<Vec<String>>> {
        self.take_as(option, |value| {
            let items = match value {
                Value::List(items) => items,
                single => vec![single],
            };
            let text = |item| match item {
                Value::Text(text) => Ok(text.into()),
                _ => Err("must be a list of texts".to_owned()),
            };
            items.into_iter().map(text).collect()
        })
    }

    /// Takes an option that assigns numbers to patterns, in order: `glob:number` texts, a table,
    /// or a list of pairs.
    ///
    /// # Errors
    ///
    /// As [`take_text`](Self::take_text).
    pub fn take_capacities(
        &mut self,
        option: &'static str,
    ) -> Result<Option<Vec<(String, usize)>>> {
        self.take_as(option, |value| match value {
            Value::Map(map) => map
                .into_iter()
                .map(|(pattern, capacity)| Ok((pattern.into(), integer(capacity)?)))
                .collect(),
            Value::List(items) => items.into_iter().map(pattern_and_capacity).collect(),
            single => pattern_and_capacity(single).map(|pair| vec![pair]),
        })
    }

    /// The error that says what is wrong with `option`.
    pub fn error(&self, option: &str, reason: impl fmt::Display) -> Error {
        let option: String = option.chars().take(64).collect();
        match &self.table {
            Some(table) => Error::config(format!("{table}.{option}"), reason),
            None => Error::config(option, reason),
        }
    }

    /// Checks that all options were taken.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming an option that was not, and the known one it is most like.
    pub fn finish(self) -> Result<()> {
        let Some(unknown) = self.entries.keys().next() else {
            return Ok(());
        };
        let advice = match nearest::nearest(unknown, &self.known) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("known are `{}`", self.known.join("`, `")),
        };
        Err(self.error(unknown, format_args!("is not known; {advice}")))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ByteString, &Value)> {
        self.entries.iter()
    }

    fn take_as<T>(
        &mut self,
        option: &'static str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<Option<T>> {
        match self.take(option) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Ok(value) => Ok(Some(value)),
                Err(reason) => Err(self.error(option, reason)),
            },
        }
    }
}

impl From<Map> for Options {
    fn from(entries: Map) -> Self {
        Self {
            entries,
            ..Self::default()
        }
    }
}

impl<K: Into<ByteString>, V: Into<Value>> FromIterator<(K, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut options = Self::new();
        options.extend(entries);
        options
    }
}

impl<K: Into<ByteString>, V: Into<Value>> Extend<(K, V)> for Options {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (option, value) in entries {
            self.push(option, value);
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(option, value)| (option, Shown { option, value }));
        f.debug_map().entries(shown).finish()
    }
}

/// The value of an option, without what must not be shown.
pub(super) struct Shown<'a> {
    pub(super) option: &'a str,
    pub(super) value: &'a Value,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            _ if is_secret(self.option) => f.write_str(HIDDEN),
            Value::Text(text) => f.write_str(&without_password(text)),
            Value::List(items) => {
                for (at, value) in items.iter().enumerate() {
                    if at > 0 {
                        f.write_str(",")?;
                    }
                    let option = self.option;
                    Self { option, value }.fmt(f)?;
                }
                Ok(())
            }
            Value::Map(map) => {
                for (at, (option, value)) in map.iter().enumerate() {
                    if at > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{option}:{}", Self { option, value })?;
                }
                Ok(())
            }
            other => other.fmt(f),
        }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn integer<T: TryFrom<i64>>(value: Value) -> Result<T, String> {
    const NO_INTEGER: &str = "must be a whole number";
    let integer = match value {
        Value::Int(value) => value,
        Value::Text(text) => text.trim().parse().map_err(|_| NO_INTEGER)?,
        _ => return Err(NO_INTEGER.into()),
    };
    T::try_from(integer).map_err(|_| format!("{integer} is out of range"))
}

/// Reads `"glob:number"` or `["glob", number]`.
fn pattern_and_capacity(value: Value) -> Result<(String, usize), String> {
    const SYNTAX: &str = "must be a pattern with a number, as in `http.*:200`";
    match value {
        Value::Text(text) => {
            let (pattern, capacity) = text.rsplit_once(':').ok_or(SYNTAX)?;
            let capacity = capacity.trim().parse().map_err(|_| SYNTAX)?;
            Ok((pattern.to_owned(), capacity))
        }
        Value::List(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([Value::Text(pattern), capacity]) => Ok((pattern.into(), integer(capacity)?)),
            _ => Err(SYNTAX.into()),
        },
        _ => Err(SYNTAX.into()),
    }
}
