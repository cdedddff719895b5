use std::io;

use crate::endpoint::Endpoint;

/// A [`std::result::Result`] whose error is [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when a server is configured, bound or run.
///
/// What goes wrong on a connection is never one of these: it ends that connection and is logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An endpoint description cannot be understood.
    #[error("endpoint `{endpoint}`: {reason}")]
    Endpoint {
        /// The description as it was written.
        endpoint: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// An option has a value that cannot work.
    #[error("option `{option}`: {reason}")]
    Option {
        /// The option's name, as that of the builder's method.
        option: &'static str,
        /// What is wrong with the value and what would be right.
        reason: String,
    },
    /// There is nothing to listen on.
    #[error("no endpoint: give at least one endpoint or listener")]
    NoEndpoint,
    /// An endpoint could not be opened.
    #[error("cannot listen on {endpoint}")]
    Bind {
        /// Which endpoint.
        endpoint: Endpoint,
        /// What the operating system said.
        source: io::Error,
    },
    /// A listener handed to the builder cannot be used.
    #[error("cannot use the listener")]
    Listener {
        /// What the operating system said.
        source: io::Error,
    },
    /// The access log could not be opened.
    #[error("cannot open the access log {path}")]
    AccessLog {
        /// The file's path.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A channel layer could not be made.
    #[error("no channel layer {layer}")]
    Layer {
        /// Its URL, without a password.
        layer: String,
        /// What is wrong and what would be right.
        source: asgiref::BoxError,
    },
}
