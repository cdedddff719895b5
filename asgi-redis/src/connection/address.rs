//! Where a server is and how to introduce oneself.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use asgiref::config::LayerSettings;
use asgiref::{Error, Result};

/// The port of Redis, and that of Sentinel.
pub(crate) const PORT: u16 = 6379;
pub(crate) const SENTINEL_PORT: u16 = 26_379;

/// A server: `redis://[[user]:password@]host[:port][/database]`, `rediss://…` over TLS, or
/// `redis+unix:///path/to/socket[?db=1]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) place: Place,
    pub(crate) tls: bool,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: u32,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// A server without a password.
    pub(crate) fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self {
            place: Place::Tcp {
                host: host.into(),
                port,
            },
            tls: false,
            username: None,
            password: None,
            database: 0,
        }
    }

    /// What tells a server from others that processes of one machine use, whatever they call its
    /// host: its port and database, unless these are the usual ones.
    #[cfg(feature = "local")]
    pub(crate) fn suffix(&self) -> String {
        let mut suffix = String::new();
        match self.place {
            Place::Tcp { port, .. } if port != PORT => suffix.push_str(&format!("-{port}")),
            Place::Tcp { .. } | Place::Unix(_) => {}
        }
        if self.database != 0 {
            suffix.push_str(&format!("-db{}", self.database));
        }
        suffix
    }

    /// The servers that a URL names, which may list several hosts.
    pub(crate) fn all_of(settings: &LayerSettings, default_port: u16) -> Result<Vec<Self>> {
        let mut options = settings.options().clone();
        let database = options.take_integer::<u32>("db")?;
        options.finish()?;
        Self::of_location(settings, database, default_port)
    }

    /// The same, without a look at the options.
    pub(crate) fn of_location(
        settings: &LayerSettings,
        database: Option<u32>,
        default_port: u16,
    ) -> Result<Vec<Self>> {
        let tls = settings.scheme() == "rediss";
        if tls && cfg!(not(feature = "tls")) {
            return Err(Error::config(
                "url",
                "`rediss:` needs the feature `tls`, which this build does not have",
            ));
        }
        let common = Self {
            tls,
            username: settings.username().map(str::to_owned),
            password: settings.password().map(str::to_owned),
            ..Self::tcp("localhost", default_port)
        };
        if settings.scheme() == "redis+unix" || settings.scheme() == "unix" {
            if !settings.hosts().is_empty() || settings.path().is_empty() {
                let reason = "a socket is named by its path, as in `redis+unix:///run/redis.sock`";
                return Err(Error::config("url", reason));
            }
            return Ok(vec![Self {
                place: Place::Unix(settings.path().into()),
                database: database.unwrap_or(0),
                ..common
            }]);
        }
        let in_path = match settings.path().trim_start_matches('/') {
            "" => None,
            number => Some(number.parse().map_err(|_| {
                Error::config("url", "the path is the number of a database, as in `/0`")
            })?),
        };
        let common = Self {
            database: database.or(in_path).unwrap_or(0),
            ..common
        };
        if settings.hosts().is_empty() {
            return Ok(vec![common]);
        }
        let servers = settings.hosts().iter().map(|host| {
            if host.name == "0.0.0.0" || host.name == "::" {
                let reason = "0.0.0.0 and :: are where servers listen, not where they are found";
                return Err(Error::config("url", reason));
            }
            Ok(Self {
                place: Place::Tcp {
                    host: host.name.clone(),
                    port: host.port_or(default_port),
                },
                ..common.clone()
            })
        });
        servers.collect()
    }

    /// The same host on another port.
    pub(crate) fn on_port(&self, port: u16) -> Self {
        match &self.place {
            Place::Tcp { host, .. } => self.at(host.clone(), port),
            Place::Unix(_) => self.clone(),
        }
    }

    /// The same way to introduce oneself at another place.
    pub(crate) fn at(&self, host: impl Into<String>, port: u16) -> Self {
        Self {
            place: Place::Tcp {
                host: host.into(),
                port,
            },
            ..self.clone()
        }
    }
}

/// The schemes of the URLs of single servers.
const SCHEMES: &[&str] = &["redis", "rediss", "redis+unix", "unix"];

impl FromStr for Address {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        let settings: LayerSettings = url.parse()?;
        settings.require_scheme(SCHEMES)?;
        let mut servers = Self::all_of(&settings, PORT)?;
        match (servers.pop(), servers.is_empty()) {
            (Some(server), true) => Ok(server),
            _ => Err(Error::config(
                "hosts",
                "each entry is the URL of one server",
            )),
        }
    }
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "{}", path.display())?,
            Place::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}")?,
            Place::Tcp { host, port } => write!(f, "{host}:{port}")?,
        }
        match self.database {
            0 => Ok(()),
            database => write!(f, "/{database}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_servers() {
        let full: Address = "rediss://me:p%40ss@h:1/3".parse().unwrap();
        assert!(full.tls);
        assert_eq!(full.username.as_deref(), Some("me"));
        assert_eq!(full.password.as_deref(), Some("p@ss"));
        assert_eq!(full.to_string(), "h:1/3");
        let short: Address = "redis://h".parse().unwrap();
        assert_eq!(short.to_string(), "h:6379");
        let query: Address = "redis://h/1?db=2".parse().unwrap();
        assert_eq!(query.database, 2);
        let socket: Address = "redis+unix:///run/redis.sock?db=1".parse().unwrap();
        assert_eq!(socket.place, Place::Unix("/run/redis.sock".into()));
        assert_eq!(socket.database, 1);
    }

    #[test]
    fn what_is_no_server() {
        for url in [
            "redis://a,b",
            "redis://0.0.0.0",
            "redis://h/x",
            "redis://h?nosuch=1",
            "redis+unix://h/x",
            "http://h",
            "h:6379",
        ] {
            assert!(url.parse::<Address>().is_err(), "{url}");
        }
    }
}
