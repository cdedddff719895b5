use std::fmt;

use asgiref::{ChannelName, Message};

use crate::error::ConsumerError;

/// What a worker tells the function given to
/// [`WorkerBuilder::on_error`](crate::WorkerBuilder::on_error): a consumer failed, or its message
/// was given up.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ErrorReport<'a> {
    /// The channel the message came on.
    pub channel: &'a ChannelName,
    /// The consumer's name.
    pub consumer: &'a str,
    /// The message. It may hold private data.
    pub message: &'a Message,
    /// What the consumer returned. [`ConsumerError::ConsumeLater`] if the message was put off
    /// too often and is dropped.
    pub error: &'a ConsumerError,
}

/// A consumer's error with all its causes, in one line.
pub(super) struct Causes<'a>(pub(super) &'a ConsumerError);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)?;
        let mut source = self.0.error().and_then(std::error::Error::source);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
