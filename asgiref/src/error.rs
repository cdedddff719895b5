use std::fmt;

use crate::layer::Extension;
use crate::name::ChannelName;
use crate::value::ValueKind;

/// A [`std::result::Result`] whose error is [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, boxed: what a backend wraps into [`Error::Backend`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong with a name, a message, a configuration or a channel layer.
///
/// Callers act on [`ChannelFull`](Self::ChannelFull) (wait, drop or answer 503) and
/// [`MessageTooLarge`](Self::MessageTooLarge) (send less); the other variants report a
/// mistake of the program or of the surroundings and say where it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The channel layer's own transport failed: the server is away, the segment is damaged.
    #[error("{layer} channel layer failed")]
    Backend {
        /// Which layer, in words: `"Redis"`.
        layer: &'static str,
        /// What the transport said.
        source: BoxError,
    },
    /// A method of [`blocking::ChannelLayer`](crate::blocking::ChannelLayer) was called inside an
    /// asynchronous task, where it would stop all tasks of the thread.
    #[error(
        "a blocking call inside an asynchronous task: await the asynchronous channel layer, \
         or call from `spawn_blocking`"
    )]
    BlockingInAsync,
    /// The channel holds as many messages as its capacity allows ([ASGI: Capacity]).
    ///
    /// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
    #[error("channel {channel} is full")]
    ChannelFull {
        /// The channel; the non-local part for a process-specific one, since that is where
        /// capacity is counted.
        channel: ChannelName,
    },
    /// A configuration option is missing, unknown or has an unusable value.
    #[error("configuration option `{option}`: {reason}")]
    Config {
        /// The option's name as the user wrote it.
        option: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// A message and a Rust type do not fit each other.
    #[error("message cannot be converted: {reason}")]
    Conversion {
        /// What does not fit.
        reason: String,
    },
    /// Bytes from outside are not an encoded message.
    #[error("malformed message at byte {offset}: {reason}")]
    Decode {
        /// Offset in bytes from the start of the input.
        offset: usize,
        /// What was found there.
        reason: String,
    },
    /// A stored message could not be decrypted with any of the configured keys.
    #[error("message cannot be decrypted: {reason}")]
    Decrypt {
        /// Why: expired, forged or written with another key.
        reason: &'static str,
    },
    /// A value of a message breaks the rules of its message format.
    #[error("message key `{key}`: {reason}")]
    InvalidMessage {
        /// The key concerned.
        key: String,
        /// The rule that is broken.
        reason: String,
    },
    /// A channel or group name, or a pattern for one, breaks the naming rules.
    #[error("invalid {what} name {name:?}: {reason}")]
    InvalidName {
        /// `"channel"`, `"group"` or `"channel pattern"`.
        what: &'static str,
        /// The name, cut to 64 characters.
        name: String,
        /// The rule that is broken.
        reason: &'static str,
    },
    /// A key that the message format requires is absent.
    #[error("message has no key `{key}`")]
    MissingKey {
        /// The key asked for.
        key: String,
    },
    /// The encoded message is larger than the channel layer carries.
    #[error("message of {size} bytes exceeds the limit of {limit} bytes")]
    MessageTooLarge {
        /// Size of the encoded message in bytes, as far as it was measured.
        size: usize,
        /// Largest size allowed in bytes.
        limit: usize,
    },
    /// The channel layer does not provide an extension the program needs.
    #[error("{layer} does not provide the {extension} extension")]
    Unsupported {
        /// The layer's text form.
        layer: String,
        /// The extension asked for.
        extension: Extension,
    },
    /// A key holds a value of another type than the one asked for.
    #[error("message key `{key}` is {found}, not {expected}")]
    WrongType {
        /// The key asked for.
        key: String,
        /// The type the message format prescribes.
        expected: ValueKind,
        /// The type that is there.
        found: ValueKind,
    },
}

impl Error {
    /// Whether this is [`Error::ChannelFull`], the one error a sender is expected to handle.
    #[must_use]
    pub const fn is_channel_full(&self) -> bool {
        matches!(self, Self::ChannelFull { .. })
    }

    /// Wraps a transport's error; `layer` is the layer's name in words.
    pub fn backend(layer: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Backend {
            layer,
            source: source.into(),
        }
    }

    /// Reports an unusable configuration option.
    pub fn config(option: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Config {
            option: option.into(),
            reason: reason.to_string(),
        }
    }

    /// Reports a value that breaks the rules of its message format.
    pub fn invalid_message(key: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::InvalidMessage {
            key: key.into(),
            reason: reason.to_string(),
        }
    }
}

/// Lets a function take anything that converts into a name, names themselves included.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
