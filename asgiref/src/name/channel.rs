use bytestring::ByteString;

use super::rules::{parse_channel, parse_local_part};
use super::text::text_traits;
use super::{ChannelKind, invalid};
use crate::error::Result;

/// The name of a channel: valid by construction, cheap to clone.
///
/// One or more of `A-Z a-z 0-9 . - _`, then optionally one `?` or `!` followed by more of the
/// same; at most [`MAX_NAME_LENGTH`](crate::MAX_NAME_LENGTH) bytes, ASCII only. A name with `?` has something after it.
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
    pub(super) text: ByteString,
    pub(super) kind: ChannelKind,
    /// Length in bytes of the part up to and including the type character.
    pub(super) head: u8,
}

impl ChannelName {
    /// Validates `name`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName), naming the rule that is broken.
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

    /// The same name with a text of its own. A name may be part of something large, such as the
    /// message it came in, which stays in memory as long as the name does.
    pub(crate) fn detached(&self) -> Self {
        Self {
            text: ByteString::from(self.as_str()),
            kind: self.kind,
            head: self.head,
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
    /// [`Error::InvalidName`](crate::Error::InvalidName) if `self` is not process-specific or `local` breaks the rules.
    pub fn with_local_part(&self, local: &str) -> Result<Self> {
        if self.kind != ChannelKind::ProcessSpecific {
            return Err(invalid(
                "channel",
                &self.text,
                "only a `!` name has a local part",
            ));
        }
        let head = usize::from(self.head);
        let mut text = String::with_capacity(head + local.len());
        text.push_str(self.non_local());
        text.push_str(local);
        match parse_local_part(head, local.as_bytes()) {
            Ok(()) => Ok(Self {
                text: text.into(),
                kind: self.kind,
                head: self.head,
            }),
            Err(reason) => Err(invalid("channel", &text, reason)),
        }
    }

    /// Checks that the name may be passed to `receive`: a process-specific channel is received
    /// by its non-local part, because a process receives for all its connections at once.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the name has a local part.
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

text_traits!(ChannelName);
