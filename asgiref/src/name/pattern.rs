use bytestring::ByteString;
use rand::Rng as _;
use rand::distr::Alphanumeric;

use super::rules::parse_pattern;
use super::text::text_traits;
use super::{ChannelKind, ChannelName, invalid};
use crate::error::Result;

/// How many random characters [`ChannelPattern::generate`] appends: about 95 bits.
pub(super) const RANDOM_PART_LENGTH: usize = 16;

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
    /// [`Error::InvalidName`](crate::Error::InvalidName), naming the rule that is broken.
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

text_traits!(ChannelPattern);
