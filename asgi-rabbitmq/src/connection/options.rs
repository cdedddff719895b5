use std::path::PathBuf;
use std::time::Duration;

use asgiref::config::Options;
use asgiref::{Error, Result};

/// How connections are made and watched.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionOptions {
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) tls_ca: Option<PathBuf>,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(3),
            heartbeat: Duration::from_secs(10),
            tls_ca: None,
        }
    }
}

impl ConnectionOptions {
    pub(crate) fn take_from(options: &mut Options) -> Result<Self> {
        let mut taken = Self::default();
        for (option, place) in [
            ("connect_timeout", &mut taken.connect_timeout),
            ("response_timeout", &mut taken.response_timeout),
            ("heartbeat", &mut taken.heartbeat),
        ] {
            if let Some(duration) = options.take_duration(option)? {
                *place = duration;
            }
        }
        if let Some(file) = options.take_text("tls_ca")? {
            if cfg!(not(feature = "tls")) {
                let reason = "needs the feature `tls`, which this build does not have";
                return Err(options.error("tls_ca", reason));
            }
            taken.tls_ca = Some(file.into());
        }
        Ok(taken)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        for (option, duration) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
        ] {
            if duration.is_zero() {
                return Err(Error::config(option, "must be longer than zero seconds"));
            }
        }
        if self.heartbeat_seconds().is_none() {
            let reason = "must be between one second and 65,535";
            return Err(Error::config("heartbeat", reason));
        }
        Ok(())
    }

    /// Heartbeats are agreed upon in whole seconds.
    pub(crate) fn heartbeat_seconds(&self) -> Option<u16> {
        let seconds = u16::try_from(self.heartbeat.as_secs()).ok()?;
        (seconds > 0).then_some(seconds)
    }
}
