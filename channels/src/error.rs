//! What can go wrong: in the program's own set-up ([`enum@Error`]) and in a consumer
//! ([`ConsumerError`]).

use std::fmt;
use std::time::Duration;

use asgiref::{BoxError, ChannelName};

/// A [`std::result::Result`] whose error is [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a consumer returns once its return value is converted.
pub type Outcome = Result<(), ConsumerError>;

/// What can go wrong with routing, with the use of a [`Context`](crate::Context), and with
/// setting up workers and commands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name, a message or a channel layer; see the error itself.
    #[error(transparent)]
    Layer(#[from] asgiref::Error),
    /// The message has no usable reply channel, so there is nobody to answer.
    #[error("message on channel {channel} has no usable `reply_channel`")]
    NoReplyChannel {
        /// The channel the message came on.
        channel: ChannelName,
    },
    /// No channel layer has this alias.
    #[error("no channel layer has the alias {alias:?} (known: {known})")]
    UnknownAlias {
        /// The alias asked for.
        alias: String,
        /// The aliases there are, for the message.
        known: String,
    },
    /// The pattern of a filter or prefix is not a regular expression that routing can use.
    #[error("pattern {pattern:?} for message key `{key}`: {reason}")]
    InvalidPattern {
        /// The message key the pattern is for.
        key: String,
        /// The pattern as it was written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument of a consumer could not be made from the message.
    #[error("cannot make the argument `{argument}` from the message")]
    Extract {
        /// The extractor's name.
        argument: &'static str,
        /// Why not.
        source: BoxError,
    },
    /// A value could not be written as JSON.
    #[error("cannot write a `{type_name}` as JSON")]
    Encode {
        /// The value's type.
        type_name: &'static str,
        /// Why not.
        source: BoxError,
    },
    /// The consumer panicked.
    #[error("the consumer panicked: {message}")]
    Panicked {
        /// The panic's message, if it was text.
        message: String,
    },
    /// The consumer did not end within the worker's time limit.
    #[error("the consumer did not end within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The protocol server; see the error itself.
    #[error(transparent)]
    Server(#[from] daphne::Error),
    /// The system gave no thread to run on.
    #[error("cannot start a thread to serve on")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
    /// The operating system does not tell us when we are to stop.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// Consumers ran on after the worker was told to stop, and were given up.
    #[error("{busy} consumers were still running after {} s", grace.as_secs_f64())]
    StillRunning {
        /// How many.
        busy: usize,
        /// How long they were waited for.
        grace: Duration,
    },
    /// There is nothing for the worker to do.
    #[error("no channels to listen on: {reason}")]
    NoChannels {
        /// Why none is left.
        reason: String,
    },
    /// A setting of a worker, a command or an application cannot be used.
    #[error("{option}: {reason}")]
    Config {
        /// The setting as the user knows it.
        option: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
}

impl Error {
    /// Whether a channel had no room, the one error a sender is expected to handle.
    #[must_use]
    pub const fn is_channel_full(&self) -> bool {
        matches!(self, Self::Layer(error) if error.is_channel_full())
    }

    /// Reports a setting that cannot be used.
    pub fn config(option: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Config {
            option: option.into(),
            reason: reason.to_string(),
        }
    }

    /// Reports an argument that could not be made from the message.
    pub fn extract(argument: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Extract {
            argument,
            source: source.into(),
        }
    }
}

/// Why a consumer did not simply succeed.
///
/// Any error converts into it, so `?` works on everything in a consumer. For that reason it does
/// not implement [`std::error::Error`] itself; [`error`](Self::error) gives the one inside.
///
/// | returned on | `http.request` | `websocket.connect` | `websocket.receive` |
/// |---|---|---|---|
/// | [`ConsumeLater`](Self::ConsumeLater) | tried again | tried again | tried again |
/// | [`DenyConnection`](Self::DenyConnection) | as `Failed` | connection rejected | as `Failed` |
/// | [`CloseConnection`](Self::CloseConnection) | as `Failed` | connection rejected | connection closed |
/// | [`InvalidMessage`](Self::InvalidMessage) | 400 | connection rejected | logged |
/// | [`Failed`](Self::Failed) | 500 | connection rejected | logged |
///
/// An answer is only made if the consumer had not begun one. What the consumer sent before it
/// failed is delivered in every case.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConsumerError {
    /// The time has not come: the message goes back to the end of its channel. After a number of
    /// attempts (ten by default) it is dropped, so that no message goes round for ever.
    ConsumeLater,
    /// The WebSocket is not wanted: the handshake is rejected. For `websocket.connect` only.
    DenyConnection,
    /// The WebSocket is to be closed.
    CloseConnection {
        /// The close code the client sees: 1000, or 3000 to 4999.
        code: u16,
    },
    /// The message is not what the consumer takes, which is the sender's mistake.
    InvalidMessage(BoxError),
    /// Anything else.
    Failed(BoxError),
}

impl ConsumerError {
    /// Makes an error from anything that is one, boxed errors and plain text included.
    ///
    /// ```
    /// use channels::ConsumerError;
    ///
    /// let error = ConsumerError::failed("the printer is on fire");
    /// assert_eq!(error.to_string(), "the printer is on fire");
    /// ```
    pub fn failed(error: impl Into<BoxError>) -> Self {
        Self::Failed(error.into())
    }

    /// Says that the message is not what the consumer takes.
    pub fn invalid_message(error: impl Into<BoxError>) -> Self {
        Self::InvalidMessage(error.into())
    }

    /// The error inside, if there is one.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        match self {
            Self::InvalidMessage(error) | Self::Failed(error) => Some(&**error),
            Self::ConsumeLater | Self::DenyConnection | Self::CloseConnection { .. } => None,
        }
    }
}

impl fmt::Display for ConsumerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsumeLater => f.write_str("the message is to be consumed later"),
            Self::DenyConnection => f.write_str("the connection is denied"),
            Self::CloseConnection { code } => {
                write!(f, "the connection is to be closed with code {code}")
            }
            Self::InvalidMessage(error) | Self::Failed(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for ConsumerError {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}
