use std::path::PathBuf;
use std::time::Duration;

use asgiref::config::Options;
use asgiref::{Error, Result};

/// How connections are made and watched.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionOptions {
    /// How long an operation waits for a connection.
    pub(crate) connect_timeout: Duration,
    /// How long the answer to a command may take.
    pub(crate) response_timeout: Duration,
    /// After how much silence a connection is checked.
    pub(crate) keepalive: Duration,
    /// Certificates, in PEM form, that are trusted instead of the system's.
    pub(crate) tls_ca: Option<PathBuf>,
}

impl ConnectionOptions {
    pub(crate) fn take_from(options: &mut Options) -> Result<Self> {
        let mut taken = Self::default();
        for (option, value) in [
            ("connect_timeout", &mut taken.connect_timeout),
            ("response_timeout", &mut taken.response_timeout),
            ("keepalive", &mut taken.keepalive),
        ] {
            if let Some(duration) = options.take_duration(option)? {
                *value = duration;
            }
        }
        taken.tls_ca = options.take_text("tls_ca")?.map(PathBuf::from);
        Ok(taken)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        for (option, value) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
            ("keepalive", self.keepalive),
        ] {
            if value < Duration::from_millis(100) {
                return Err(Error::config(option, "must be 0.1 seconds or more"));
            }
        }
        Ok(())
    }
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(3),
            keepalive: Duration::from_millis(1500),
            tls_ca: None,
        }
    }
}
