//! Channel and group names, validated once ([ASGI: Channels and Messages]).
//!
//! [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages

mod channel;
mod group;
mod pattern;
mod rules;
mod text;

use std::fmt;

use crate::error::Error;

pub use channel::ChannelName;
pub use group::GroupName;
pub use pattern::ChannelPattern;

/// The longest name accepted, in bytes.
///
/// The specification asks for "less than 200 characters". Names this crate generates stay below
/// 100 bytes, the limit of the Python implementations.
pub const MAX_NAME_LENGTH: usize = 199;

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

/// The error for a name that breaks a rule.
fn invalid(what: &'static str, name: &str, reason: &'static str) -> Error {
    Error::InvalidName {
        what,
        name: name.chars().take(64).collect(),
        reason,
    }
}
