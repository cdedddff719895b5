//! The transport's own errors and what they become in [`asgiref::Error`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A [`std::result::Result`] whose error is [`enum@Error`].
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// What the layer is called in errors.
pub(crate) const LAYER: &str = "Redis";

/// What went wrong between the layer and its servers: the source of
/// [`asgiref::Error::Backend`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be made. Nothing was sent to the server.
    #[error("cannot connect to {server}")]
    Connect {
        /// Which server, without its password.
        server: Arc<str>,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The connection was lost before the server answered. The command may have been executed or
    /// not; it is not repeated, because a message must not be delivered twice.
    #[error("the connection to {server} was lost before the answer came")]
    Lost {
        /// Which server.
        server: Arc<str>,
    },
    /// The server did not answer in time, and the connection was given up. The command may have
    /// been executed or not.
    #[error("{server} did not answer within {limit:?}")]
    Timeout {
        /// Which server.
        server: Arc<str>,
        /// How long was waited.
        limit: Duration,
    },
    /// The server refused the command.
    #[error("{server} refused a command with {code}: {message}")]
    Refused {
        /// Which server.
        server: Arc<str>,
        /// The first word of the answer, such as `OOM`.
        code: Arc<str>,
        /// The rest of the answer.
        message: Arc<str>,
    },
    /// What the server sent is not the Redis protocol, or not an answer to what was asked.
    #[error("{server} sent what cannot be understood: {reason}")]
    Protocol {
        /// Which server.
        server: Arc<str>,
        /// What was wrong.
        reason: &'static str,
    },
    /// None of the Sentinels, or of the nodes of a cluster, could say which server to use.
    #[error("no server is known for {service}: {reason}")]
    Unknown {
        /// The service at the Sentinels, or the slot of the cluster.
        service: Arc<str>,
        /// What was answered.
        reason: Arc<str>,
    },
}

impl Error {
    /// Whether the server says that it cannot do this now, or is the wrong server, and therefore
    /// did nothing: the command may be sent again without being executed twice.
    pub(crate) fn is_refused_for_now(&self) -> bool {
        const CODES: &[&str] = &[
            "ASK",
            "CLUSTERDOWN",
            "LOADING",
            "MASTERDOWN",
            "MOVED",
            "READONLY",
            "TRYAGAIN",
        ];
        self.code().is_some_and(|code| CODES.contains(&code))
    }

    /// Whether the server is the wrong one, so that another must be looked for.
    pub(crate) fn is_wrong_server(&self) -> bool {
        const CODES: &[&str] = &["ASK", "MASTERDOWN", "MOVED", "READONLY"];
        self.code().is_some_and(|code| CODES.contains(&code))
    }

    /// The first word of a refusal.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    pub(crate) fn connect(server: &Arc<str>, source: io::Error) -> Self {
        Self::Connect {
            server: Arc::clone(server),
            source: Arc::new(source),
        }
    }

    pub(crate) fn protocol(server: &Arc<str>, reason: &'static str) -> Self {
        Self::Protocol {
            server: Arc::clone(server),
            reason,
        }
    }
}

impl From<Error> for asgiref::Error {
    fn from(error: Error) -> Self {
        Self::backend(LAYER, error)
    }
}
