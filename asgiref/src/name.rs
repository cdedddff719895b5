//! Channel and group names, validated once ([ASGI: Channels and Messages]).
//!
//! [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bytestring::ByteString;
use rand::Rng as _;
use rand::distr::Alphanumeric;

use crate::error::{Error, Result};

/// The longest name accepted, in bytes.
///
/// The specification asks for "less than 200 characters". Names this crate generates stay below
/// 100 bytes, the limit of the Python implementations.
pub const MAX_NAME_LENGTH: usize = 199;

/// How many random characters [`ChannelPattern::generate`] appends: about 95 bits.
const RANDOM_PART_LENGTH: usize = 16;

/// Who may read a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the specification defines exactly three kinds"
)]
pub enum ChannelKind {
    /// Any number of readers; each message goes to one of them. No type character.
    Normal,
    /// One reader somewhere, at a place the layer must find: `http.request.body?AbC`.
    SingleReader,
    /// The process that owns the part up to `!`; the rest tells its connections apart:
    /// `daphne.response.AbC!XyZ`.
    #[doc(alias = "process-local")]
    ProcessSpecific,
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Normal => "normal",
            Self::SingleReader => "single-reader",
            Self::ProcessSpecific => "process-specific",
        })
    }
}

/// The name of a channel: valid by construction, cheap to clone.
///
/// One or more of `A-Z a-z 0-9 . - _`, then optionally one `?` or `!` followed by more of the
/// same; at most [`MAX_NAME_LENGTH`] bytes, ASCII only. A name with `?` has something after it.
///
/// ```
/// use asgiref::{ChannelKind, ChannelName};
///
/// let name = ChannelName::new("daphne.response.AbC!XyZ")?;
/// assert_eq!(name.kind(), ChannelKind::ProcessSpecific);
/// assert_eq!(name.non_local(), "daphne.response.AbC!");
/// assert_eq!(name.local_part(), Some("XyZ"));
/// assert!(ChannelName::new("not a channel").is_err());
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone)]
pub struct ChannelName {
    text: ByteString,
    kind: ChannelKind,
    /// Length in bytes of the part up to and including the type character.
    head: u8,
}

impl ChannelName {
    /// Validates `name`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], naming the rule that is broken.
    pub fn new(name: impl Into<ByteString>) -> Result<Self> {
        let text = name.into();
        match parse_channel(text.as_bytes()) {
            Ok((kind, head)) => Ok(Self { text, kind, head }),
            Err(reason) => Err(invalid("channel", &text, reason)),
        }
    }

    /// The same for a name written in the program; usable in `const` items.
    ///
    /// # Panics
    ///
    /// If the name is invalid: at compile time when it is used to define a `const`.
    ///
    /// ```
    /// use asgiref::ChannelName;
    ///
    /// const HTTP_REQUEST: ChannelName = ChannelName::from_static("http.request");
    /// ```
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        match parse_channel(name.as_bytes()) {
            Ok((kind, head)) => Self {
                text: ByteString::from_static(name),
                kind,
                head,
            },
            Err(reason) => panic!("{}", reason),
        }
    }

    /// Who may read the channel.
    #[must_use]
    pub const fn kind(&self) -> ChannelKind {
        self.kind
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole name as shared text.
    #[must_use]
    pub fn as_text(&self) -> &ByteString {
        &self.text
    }

    /// What the channel's queue is called: up to and including `!` for a process-specific name,
    /// the whole name otherwise. Capacity is counted on this, and this is what is received from.
    #[must_use]
    pub fn non_local(&self) -> &str {
        match self.kind {
            ChannelKind::ProcessSpecific => &self.text[..usize::from(self.head)],
            ChannelKind::Normal | ChannelKind::SingleReader => &self.text,
        }
    }

    /// [`non_local`](Self::non_local) as a name of its own; shares the text, allocates nothing.
    #[must_use]
    pub fn to_non_local(&self) -> Self {
        match self.kind {
            ChannelKind::ProcessSpecific if usize::from(self.head) < self.text.len() => Self {
                text: self.text.slice_ref(self.non_local()),
                kind: self.kind,
                head: self.head,
            },
            _ => self.clone(),
        }
    }

    /// What follows `!` in a process-specific name (possibly empty), `None` for other kinds.
    #[must_use]
    pub fn local_part(&self) -> Option<&str> {
        (self.kind == ChannelKind::ProcessSpecific).then(|| &self.text[usize::from(self.head)..])
    }

    /// The name of the channel with local part `local` at the same process.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] if `self` is not process-specific or `local` breaks the rules.
    pub fn with_local_part(&self, local: &str) -> Result<Self> {
        if self.kind != ChannelKind::ProcessSpecific {
            return Err(invalid(
                "channel",
                &self.text,
                "only a `!` name has a local part",
            ));
        }
        let mut text = String::with_capacity(usize::from(self.head) + local.len());
        text.push_str(self.non_local());
        text.push_str(local);
        Self::new(text)
    }

    /// Checks that the name may be passed to `receive`: a process-specific channel is received
    /// by its non-local part, because a process receives for all its connections at once.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] if the name has a local part.
    pub fn check_receivable(&self) -> Result<()> {
        if self.local_part().is_some_and(|local| !local.is_empty()) {
            return Err(invalid(
                "channel",
                &self.text,
                "receive takes process-specific names up to and including `!`",
            ));
        }
        Ok(())
    }
}

/// The name of a group: one or more of `A-Z a-z 0-9 . - _`, at most [`MAX_NAME_LENGTH`] bytes.
///
/// ```
/// use asgiref::GroupName;
///
/// let group = GroupName::new("chat-lobby")?;
/// assert_eq!(group, "chat-lobby");
/// assert!(GroupName::new("chat?").is_err());
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone)]
pub struct GroupName {
    text: ByteString,
}

impl GroupName {
    /// Validates `name`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], naming the rule that is broken.
    pub fn new(name: impl Into<ByteString>) -> Result<Self> {
        let text = name.into();
        match parse_group(text.as_bytes()) {
            Ok(()) => Ok(Self { text }),
            Err(reason) => Err(invalid("group", &text, reason)),
        }
    }

    /// The same for a name written in the program; usable in `const` items.
    ///
    /// # Panics
    ///
    /// If the name is invalid: at compile time when it is used to define a `const`.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        match parse_group(name.as_bytes()) {
            Ok(()) => Self {
                text: ByteString::from_static(name),
            },
            Err(reason) => panic!("{}", reason),
        }
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole name as shared text.
    #[must_use]
    pub fn as_text(&self) -> &ByteString {
        &self.text
    }
}

/// What [`ChannelLayer::new_channel`](crate::ChannelLayer::new_channel) makes names from: the
/// beginning of a channel name, ending in `?` or `!`.
///
/// The Python layers accept only `?`; the specification allows both, and so do we.
///
/// ```
/// use asgiref::{ChannelKind, ChannelPattern};
///
/// let pattern = ChannelPattern::new("http.request.body?")?;
/// let name = pattern.generate();
/// assert!(name.as_str().starts_with("http.request.body?"));
/// assert_eq!(name.kind(), ChannelKind::SingleReader);
/// assert!(ChannelPattern::new("http.request.body").is_err());
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone)]
pub struct ChannelPattern {
    text: ByteString,
}

impl ChannelPattern {
    /// Validates `pattern`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`], naming the rule that is broken.
    pub fn new(pattern: impl Into<ByteString>) -> Result<Self> {
        let text = pattern.into();
        match parse_pattern(text.as_bytes()) {
            Ok(()) => Ok(Self { text }),
            Err(reason) => Err(invalid("channel pattern", &text, reason)),
        }
    }

    /// The same for a pattern written in the program; usable in `const` items.
    ///
    /// # Panics
    ///
    /// If the pattern is invalid: at compile time when it is used to define a `const`.
    #[must_use]
    pub const fn from_static(pattern: &'static str) -> Self {
        match parse_pattern(pattern.as_bytes()) {
            Ok(()) => Self {
                text: ByteString::from_static(pattern),
            },
            Err(reason) => panic!("{}", reason),
        }
    }

    /// The pattern's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern's text, shared.
    #[must_use]
    pub fn as_text(&self) -> &ByteString {
        &self.text
    }

    /// The kind of the channels named from the pattern.
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        match self.text.as_bytes().last() {
            Some(b'!') => ChannelKind::ProcessSpecific,
            _ => ChannelKind::SingleReader,
        }
    }

    /// A name made of the pattern and 16 random letters and digits from a cryptographically
    /// secure source. It is unique for all practical purposes; whether it exists already is for
    /// the layer to check.
    #[must_use]
    pub fn generate(&self) -> ChannelName {
        let mut text = String::with_capacity(self.text.len() + RANDOM_PART_LENGTH);
        text.push_str(&self.text);
        text.extend(
            rand::rng()
                .sample_iter(Alphanumeric)
                .take(RANDOM_PART_LENGTH)
                .map(char::from),
        );
        let head = self.text.len() as u8;
        ChannelName {
            text: text.into(),
            kind: self.kind(),
            head,
        }
    }
}

const TOO_LONG: &str = "it is longer than 199 bytes";
const EMPTY: &str = "it is empty";
const ILLEGAL: &str = "only ASCII letters, digits, `.`, `-` and `_` are allowed";
const NO_MAIN_NAME: &str = "something must come before the `?` or `!`";

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

const fn parse_channel(name: &[u8]) -> Result<(ChannelKind, u8), &'static str> {
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
        if byte == b'?' || byte == b'!' {
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
        } else if !is_name_byte(byte) {
            return Err(ILLEGAL);
        }
        at += 1;
    }
    if matches!(kind, ChannelKind::SingleReader) && head == name.len() {
        return Err("a single-reader name needs something after the `?`");
    }
    Ok((kind, head as u8))
}

const fn parse_group(name: &[u8]) -> Result<(), &'static str> {
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

const fn parse_pattern(pattern: &[u8]) -> Result<(), &'static str> {
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

fn invalid(what: &'static str, name: &str, reason: &'static str) -> Error {
    Error::InvalidName {
        what,
        name: name.chars().take(64).collect(),
        reason,
    }
}

/// The traits every name type shares: it behaves as its text.
macro_rules! text_traits {
    ($($type:ident)*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $type {}

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl PartialEq<String> for $type {
            fn eq(&self, other: &String) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<$type> for str {
            fn eq(&self, other: &$type) -> bool {
                self == other.as_str()
            }
        }

        impl PartialEq<$type> for &str {
            fn eq(&self, other: &$type) -> bool {
                *self == other.as_str()
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        // Hashes as `str` does, so that a map keyed by names can be asked with a `&str`.
        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<ByteString> for $type {
            type Error = Error;

            fn try_from(text: ByteString) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&String> for $type {
            type Error = Error;

            fn try_from(text: &String) -> Result<Self> {
                Self::new(text.as_str())
            }
        }

        impl TryFrom<&ByteString> for $type {
            type Error = Error;

            fn try_from(text: &ByteString) -> Result<Self> {
                Self::new(text.clone())
            }
        }

        impl From<&$type> for $type {
            fn from(name: &$type) -> Self {
                name.clone()
            }
        }

        impl From<&$type> for ByteString {
            fn from(name: &$type) -> Self {
                name.text.clone()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.text.into()
            }
        }

        impl From<$type> for ByteString {
            fn from(name: $type) -> Self {
                name.text
            }
        }
    )*};
}

text_traits!(ChannelName GroupName ChannelPattern);
