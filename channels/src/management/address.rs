use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Where `runserver` listens: `8000`, `127.0.0.1:8000`, `localhost:8000`, `[::1]:8000`.
///
/// A `0` for the host means all IPv4 addresses; port 0 means one that is free.
///
/// ```
/// use channels::management::ServerAddress;
///
/// let address: ServerAddress = "0:8080".parse()?;
/// assert_eq!(address.to_string(), "0.0.0.0:8080");
/// # Ok::<(), channels::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl ServerAddress {
    /// The port of `runserver` if none is given.
    pub const DEFAULT_PORT: u16 = 8000;

    /// A port of a host name or IP address.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self {
            host: if host == "0" {
                "0.0.0.0".to_owned()
            } else {
                host
            },
            port,
        }
    }

    /// The host name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The same with another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self::new(self.host.clone(), port)
    }
}

impl Default for ServerAddress {
    fn default() -> Self {
        Self::new("127.0.0.1", Self::DEFAULT_PORT)
    }
}

impl FromStr for ServerAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            Error::config(
                format!("address `{text}`"),
                "must be a port, or an address and a port: 8000, 127.0.0.1:8000, [::1]:8000",
            )
        };
        let (host, port) = match text.rsplit_once(':') {
            None => ("127.0.0.1", text),
            Some((host, port)) => (host, port),
        };
        // `u16::from_str` would take a sign.
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or_else(invalid)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        match bracketed {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                Ok(Self::new(address, port))
            }
            None if !host.is_empty() && !host.contains(['[', ']', ':', '/', ' ']) => {
                Ok(Self::new(host, port))
            }
            Some(_) | None => Err(invalid()),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
