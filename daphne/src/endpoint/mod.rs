//! Descriptions of what to listen on.

mod parse;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

use parse::Escaped;

/// How many connections wait to be accepted, if an endpoint does not say.
pub(crate) const DEFAULT_BACKLOG: u32 = 1024;

/// The mode of a Unix socket, if an endpoint does not say: everyone may connect.
pub(crate) const DEFAULT_MODE: u32 = 0o666;

/// Something to listen on, as written on daphne's command line.
///
/// | text | meaning |
/// |---|---|
/// | `tcp:8000` | port 8000 of all IPv4 addresses |
/// | `tcp:port=8000:interface=127.0.0.1` | port 8000 of one address; `:` of IPv6 addresses is written `\:` |
/// | `tcp6:8000` | port 8000 of all IPv6 addresses |
/// | `unix:/run/daphne.sock:mode=660` | a Unix socket; the mode is octal, 666 if absent |
/// | `fd:fileno=3` | a socket that is already open, of whatever kind |
/// | `systemd:domain=INET:index=0` | a socket systemd passed on, by its number |
///
/// `backlog=N` may be added to those that open a socket.
///
/// ```
/// use daphne::Endpoint;
///
/// let endpoint: Endpoint = r"tcp:port=8000:interface=\:\:1".parse()?;
/// assert_eq!(endpoint, Endpoint::tcp("::1", 8000));
/// assert_eq!(endpoint.to_string(), r"tcp:port=8000:interface=\:\:1");
/// # Ok::<(), daphne::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A TCP port.
    #[non_exhaustive]
    Tcp {
        /// An IP address or a host name.
        interface: String,
        /// The port; 0 for one that is free.
        port: u16,
        /// How many connections wait to be accepted.
        backlog: u32,
    },
    /// A Unix socket. One that was left behind is replaced; one that is in use is not.
    #[non_exhaustive]
    Unix {
        /// Where the socket is made.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// How many connections wait to be accepted.
        backlog: u32,
    },
    /// A listening socket that this process inherited.
    #[non_exhaustive]
    Fd {
        /// Its file descriptor.
        fileno: i32,
    },
    /// A listening socket that systemd passed on.
    #[non_exhaustive]
    Systemd {
        /// Which one, from 0.
        index: u32,
    },
}

impl Endpoint {
    /// A TCP port of an IP address or host name; brackets around an IPv6 address are left out.
    pub fn tcp(interface: impl Into<String>, port: u16) -> Self {
        let interface = interface.into();
        let bare = interface
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .map(str::to_owned);
        Self::Tcp {
            interface: bare.unwrap_or(interface),
            port,
            backlog: DEFAULT_BACKLOG,
        }
    }

    /// A Unix socket everyone may connect to.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix {
            path: path.into(),
            mode: DEFAULT_MODE,
            backlog: DEFAULT_BACKLOG,
        }
    }

    /// A listening socket that this process inherited.
    #[must_use]
    pub const fn fd(fileno: i32) -> Self {
        Self::Fd { fileno }
    }
}

/// The form that [`FromStr`] reads.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write_backlog = |f: &mut fmt::Formatter<'_>, backlog: u32| {
            if backlog == DEFAULT_BACKLOG {
                Ok(())
            } else {
                write!(f, ":backlog={backlog}")
            }
        };
        match self {
            Self::Tcp {
                interface,
                port,
                backlog,
            } => {
                write!(f, "tcp:port={port}:interface={}", Escaped(interface))?;
                write_backlog(f, *backlog)
            }
            Self::Unix {
                path,
                mode,
                backlog,
            } => {
                write!(f, "unix:{}", Escaped(&path.to_string_lossy()))?;
                if *mode != DEFAULT_MODE {
                    write!(f, ":mode={mode:o}")?;
                }
                write_backlog(f, *backlog)
            }
            Self::Fd { fileno } => write!(f, "fd:fileno={fileno}"),
            Self::Systemd { index } => write!(f, "systemd:index={index}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse::endpoint(text).map_err(|reason| Error::Endpoint {
            endpoint: text.to_owned(),
            reason,
        })
    }
}

impl From<std::net::SocketAddr> for Endpoint {
    fn from(address: std::net::SocketAddr) -> Self {
        let ip: IpAddr = address.ip();
        Self::tcp(ip.to_string(), address.port())
    }
}
