use std::fmt::{self, Display};

use crate::error::Error;

/// What went wrong between a message and a Rust type, and where: the keys that lead there, from
/// the inside out.
#[derive(Debug)]
pub(super) struct Fault {
    path: Vec<String>,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    MissingKey,
    Other(String),
}

impl Fault {
    pub(super) fn new(reason: impl Display) -> Self {
        Self {
            path: Vec::new(),
            cause: Cause::Other(reason.to_string()),
        }
    }

    /// The same fault, seen from the map or list that holds its place at `key`.
    pub(super) fn at(mut self, key: impl Display) -> Self {
        self.path.push(key.to_string());
        self
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let path: Vec<&str> = fault.path.iter().rev().map(String::as_str).collect();
        let key = path.join(".");
        match fault.cause {
            Cause::MissingKey => Self::MissingKey { key },
            Cause::Other(reason) if key.is_empty() => Self::Conversion { reason },
            Cause::Other(reason) => Self::InvalidMessage { key, reason },
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::MissingKey => f.write_str("a key is missing"),
            Cause::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Fault {}

impl ::serde::ser::Error for Fault {
    fn custom<T: Display>(reason: T) -> Self {
        Self::new(reason)
    }
}

impl ::serde::de::Error for Fault {
    fn custom<T: Display>(reason: T) -> Self {
        Self::new(reason)
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            path: vec![field.to_owned()],
            cause: Cause::MissingKey,
        }
    }
}
