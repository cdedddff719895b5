//! The transport's own errors and what they become in [`asgiref::Error`].

use std::sync::Arc;
use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::AMQPErrorKind;

/// A [`std::result::Result`] whose error is [`enum@Error`].
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// What the layer is called in errors.
pub(crate) const LAYER: &str = "RabbitMQ";

/// A cause from the client library.
type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// What went wrong between the layer and its broker: the source of [`asgiref::Error::Backend`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be made. Nothing was sent to the broker.
    #[error("cannot connect to {broker}")]
    Connect {
        /// Which broker, without its password.
        broker: Arc<str>,
        /// What the system or the broker said.
        source: Cause,
    },
    /// The connection was lost before the broker answered. The operation may have been executed
    /// or not; it is not repeated, because a message must not be delivered twice.
    #[error("the connection to {broker} was lost before the answer came")]
    Lost {
        /// Which broker.
        broker: Arc<str>,
        /// What was noticed.
        source: Cause,
    },
    /// The broker did not answer in time, and the connection was given up. The operation may have
    /// been executed or not.
    #[error("{broker} did not answer within {limit:?}")]
    Timeout {
        /// Which broker.
        broker: Arc<str>,
        /// How long was waited.
        limit: Duration,
    },
    /// The broker accepts no messages, because it is short of memory or disk space.
    #[error("{broker} accepts no messages at present: {reason}")]
    Blocked {
        /// Which broker.
        broker: Arc<str>,
        /// What the broker said.
        reason: Arc<str>,
    },
    /// The broker refused the operation: 403 if the user may not do it, 404 if a queue or an
    /// exchange is gone, 406 if another process declared it with other options, such as another
    /// expiry.
    #[error("{broker} refused with {code}: {message}")]
    Refused {
        /// Which broker.
        broker: Arc<str>,
        /// The reply code of AMQP.
        code: u16,
        /// What the broker said.
        message: Arc<str>,
    },
    /// What came from the broker is not what was asked for.
    #[error("{broker} sent what cannot be understood: {reason}")]
    Protocol {
        /// Which broker.
        broker: Arc<str>,
        /// What was wrong.
        reason: &'static str,
    },
}

/// Access refused: the user may not, or another connection has it for itself.
pub(crate) const ACCESS_REFUSED: u16 = 403;
/// A queue or an exchange is there already, and declared in another way.
const PRECONDITION_FAILED: u16 = 406;
/// What to do about that.
const ALIKE: &str = "all processes need the same `expiry`, `group_expiry`, `groups` and \
                     `durable_queues`; queues made with others go when nobody uses them for a while";
/// There is no such queue or exchange.
pub(crate) const NOT_FOUND: u16 = 404;

impl Error {
    /// What an error of the client library means for an operation that had begun.
    pub(crate) fn of_operation(broker: &Arc<str>, error: lapin::Error) -> Self {
        if let ErrorKind::ProtocolError(refusal) = error.kind()
            && let AMQPErrorKind::Soft(_) = refusal.kind()
        {
            let code = refusal.get_id();
            let said = refusal.get_message().as_str();
            return Self::Refused {
                broker: Arc::clone(broker),
                code,
                message: if code == PRECONDITION_FAILED {
                    format!("{said} ({ALIKE})").into()
                } else {
                    said.into()
                },
            };
        }
        Self::Lost {
            broker: Arc::clone(broker),
            source: Arc::new(error),
        }
    }

    pub(crate) fn connect(broker: &Arc<str>, error: lapin::Error) -> Self {
        Self::Connect {
            broker: Arc::clone(broker),
            source: Arc::new(error),
        }
    }

    pub(crate) fn timeout(broker: &Arc<str>, limit: Duration) -> Self {
        Self::Timeout {
            broker: Arc::clone(broker),
            limit,
        }
    }

    pub(crate) fn protocol(broker: &Arc<str>, reason: &'static str) -> Self {
        Self::Protocol {
            broker: Arc::clone(broker),
            reason,
        }
    }

    /// The reply code of a refusal.
    pub(crate) const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl From<Error> for asgiref::Error {
    fn from(error: Error) -> Self {
        Self::backend(LAYER, error)
    }
}
