use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::error::{Error, Result};

/// A shell glob over channel names: `*` any run of characters, `?` any one, `[abc]`, `[a-c]`,
/// `[!abc]` one of (or none of) those. The whole name must match.
///
/// ```
/// use asgiref::Glob;
///
/// let http = Glob::new("http.*")?;
/// assert!(http.matches("http.request"));
/// assert!(!http.matches("websocket.receive"));
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    regex: Regex,
}

impl Glob {
    /// Compiles `pattern`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the glob is longer than 1000 bytes.
    pub fn new(pattern: &str) -> Result<Self> {
        Ok(Self {
            regex: compile("glob", pattern, glob_to_regex)?,
            text: pattern.to_owned(),
        })
    }

    /// Whether the whole of `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Glob {
    type Err = Error;

    fn from_str(pattern: &str) -> Result<Self> {
        Self::new(pattern)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// The longest pattern accepted, in bytes: names have at most 199.
const MAX_PATTERN: usize = 1000;

/// Compiles the regular expression that `to_regex` makes of `pattern`; errors name `option`.
pub(crate) fn compile(
    option: &str,
    pattern: &str,
    to_regex: impl FnOnce(&str) -> String,
) -> Result<Regex> {
    if pattern.len() > MAX_PATTERN {
        let length = pattern.len();
        return Err(Error::config(
            option,
            format_args!("a pattern of {length} bytes is longer than {MAX_PATTERN}"),
        ));
    }
    Regex::new(&to_regex(pattern))
        .map_err(|error| Error::config(option, format_args!("pattern {pattern:?}: {error}")))
}

/// The regular expression that matches what the shell glob `pattern` matches.
pub(crate) fn glob_to_regex(pattern: &str) -> String {
    let mut regex = String::from("(?s)^");
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => match set_length(rest) {
                Some(length) => {
                    push_set(&mut regex, &rest[..length]);
                    rest = &rest[length + 1..];
                }
                None => regex.push_str("\\["),
            },
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    regex
}

/// Bytes between `[` and its `]`; a `]` right after the opening (or after `!`) belongs to the set.
fn set_length(rest: &str) -> Option<usize> {
    let mut from = usize::from(rest.starts_with('!'));
    from += usize::from(rest[from..].starts_with(']'));
    rest[from..].find(']').map(|at| from + at)
}

fn push_set(regex: &mut String, set: &str) {
    let (negated, members) = match set.strip_prefix('!') {
        Some(members) => ("^", members),
        None => ("", set),
    };
    let members: Vec<char> = members.chars().collect();
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut at = 0;
    while at < members.len() {
        let low = members[at];
        if at + 2 < members.len() && members[at + 1] == '-' {
            ranges.push((low, members[at + 2]));
            at += 3;
        } else {
            ranges.push((low, low));
            at += 1;
        }
    }
    // A range that runs backwards holds nothing.
    ranges.retain(|(low, high)| low <= high);
    if ranges.is_empty() {
        regex.push_str(if negated.is_empty() { "[^\\s\\S]" } else { "." });
        return;
    }
    regex.push('[');
    regex.push_str(negated);
    for (low, high) in ranges {
        regex.push_str(&regex::escape(low.encode_utf8(&mut [0; 4])));
        regex.push('-');
        regex.push_str(&regex::escape(high.encode_utf8(&mut [0; 4])));
    }
    regex.push(']');
}
