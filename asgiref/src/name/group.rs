use bytestring::ByteString;

use super::invalid;
use super::rules::parse_group;
use super::text::text_traits;
use crate::error::Result;

/// The name of a group: one or more of `A-Z a-z 0-9 . - _`, at most [`MAX_NAME_LENGTH`](crate::MAX_NAME_LENGTH) bytes.
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
    /// [`Error::InvalidName`](crate::Error::InvalidName), naming the rule that is broken.
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

    /// As [`ChannelName::detached`](super::ChannelName::detached).
    pub(crate) fn detached(&self) -> Self {
        Self {
            text: ByteString::from(self.as_str()),
        }
    }
}

text_traits!(GroupName);
