use std::fmt;
use std::str::FromStr;

use ::serde::de::Error as _;
use ::serde::{Deserialize, Deserializer};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::options::{Options, Shown};
use super::secret::HIDDEN;
use super::url;
use crate::error::{Error, Result};
use crate::map::Map;
use crate::value::Value;

/// What a URL or a table says about a channel layer: which one, where, and with which options.
///
/// Neither `Display` nor `Debug` shows passwords or keys.
///
/// ```
/// use asgiref::config::LayerSettings;
///
/// let settings: LayerSettings = "redis://:secret@h1:6380,h2/0?prefix=site:".parse()?;
/// assert_eq!(settings.scheme(), "redis");
/// assert_eq!(settings.hosts()[0].port_or(6379), 6380);
/// assert_eq!(settings.hosts()[1].port_or(6379), 6379);
/// assert_eq!(settings.path(), "/0");
/// assert_eq!(settings.to_string(), "redis://:***@h1:6380,h2/0?prefix=site:");
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct LayerSettings {
    pub(super) scheme: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) hosts: Vec<Host>,
    pub(super) path: String,
    pub(super) options: Options,
}

impl LayerSettings {
    /// Which layer is meant: the URL's scheme or the table's `backend`, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The user name, from the URL or the table.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password, from the URL or the table.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The URL's hosts; none in `memory:` and in tables without a URL.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The URL's path, percent-decoded: with its slash after hosts, without one in `ipc:name`,
    /// empty if there is none.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The options, from the URL's query and from the table.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Checks that the settings are meant for a layer with one of `schemes`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], naming the schemes, if they are not.
    pub fn require_scheme(&self, schemes: &[&str]) -> Result<()> {
        if schemes.contains(&self.scheme.as_str()) {
            return Ok(());
        }
        Err(self.options.error(
            "url",
            format_args!(
                "the scheme is `{}`, and must be `{}`",
                self.scheme,
                schemes.join("` or `")
            ),
        ))
    }

    /// Checks that the URL has neither user, hosts nor path, for layers that are nowhere.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it has.
    pub fn require_no_location(&self) -> Result<()> {
        let nowhere = self.hosts.is_empty()
            && self.path.is_empty()
            && self.username.is_none()
            && self.password.is_none();
        if nowhere {
            return Ok(());
        }
        Err(self.options.error(
            "url",
            format_args!(
                "`{}:` takes no user, host or path, only options after `?`",
                self.scheme
            ),
        ))
    }

    /// Reads a table with the key `url` or `backend`, for errors called `name`.
    pub(super) fn from_table(mut table: Map, name: Option<&str>) -> Result<Self> {
        let in_table = |options: Options| match name {
            Some(name) => options.in_table(name.to_owned()),
            None => options,
        };
        let mut own = in_table(Options::from(Map::new()));
        for key in ["url", "backend", "username", "password"] {
            if let Some(value) = table.remove(key) {
                own.push(key, value);
            }
        }
        let (address, backend) = (own.take_text("url")?, own.take_text("backend")?);
        let mut settings = match (address, backend) {
            (Some(url), None) => url::parse(&url).map_err(|error| rename(error, &own))?,
            (None, Some(backend)) => Self::of_backend(&backend),
            (Some(_), Some(_)) => {
                return Err(own.error("backend", "is given by `url` already"));
            }
            (None, None) => {
                return Err(own.error("url", "is missing; `backend` may take its place"));
            }
        };
        for (key, known) in [
            ("username", &mut settings.username),
            ("password", &mut settings.password),
        ] {
            let beside = own.take_text(key)?;
            if beside.is_some() && known.is_some() {
                return Err(own.error(key, "is given by `url` already"));
            }
            *known = beside.or_else(|| known.take());
        }
        for (option, value) in table {
            if settings.options.contains(&option) {
                return Err(own.error(&option, "is given by `url` already"));
            }
            settings.options.push(option, value);
        }
        settings.options = in_table(settings.options);
        Ok(settings)
    }

    fn of_backend(backend: &str) -> Self {
        Self {
            scheme: backend.to_ascii_lowercase(),
            username: None,
            password: None,
            hosts: Vec::new(),
            path: String::new(),
            options: Options::new(),
        }
    }
}

impl FromStr for LayerSettings {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        url::parse(url)
    }
}

impl TryFrom<Map> for LayerSettings {
    type Error = Error;

    /// Reads a table with the key `url` or `backend`.
    fn try_from(table: Map) -> Result<Self> {
        Self::from_table(table, None)
    }
}

/// A URL, or a table with the key `url` or `backend`.
impl<'de> Deserialize<'de> for LayerSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Text(url) => url.parse(),
            Value::Map(table) => Self::try_from(table),
            other => Err(Error::config(
                "channel layer",
                format_args!("must be a URL or a table, not {}", other.kind()),
            )),
        }
        .map_err(D::Error::custom)
    }
}

impl fmt::Display for LayerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if !self.hosts.is_empty() || self.username.is_some() || self.path.starts_with('/') {
            f.write_str("//")?;
        }
        if self.username.is_some() || self.password.is_some() {
            if let Some(username) = &self.username {
                write!(f, "{}", utf8_percent_encode(username, USER))?;
            }
            if self.password.is_some() {
                write!(f, ":{HIDDEN}")?;
            }
            f.write_str("@")?;
        }
        for (at, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if at > 0 { "," } else { "" })?;
        }
        write!(f, "{}", utf8_percent_encode(&self.path, PATH))?;
        let mut separator = '?';
        for (option, value) in self.options.iter() {
            let items = match value {
                Value::List(items) => items.as_slice(),
                single => std::slice::from_ref(single),
            };
            for value in items {
                let shown = Shown { option, value }.to_string();
                let option = utf8_percent_encode(option, QUERY);
                write!(
                    f,
                    "{separator}{option}={}",
                    utf8_percent_encode(&shown, QUERY)
                )?;
                separator = '&';
            }
        }
        Ok(())
    }
}

impl fmt::Debug for LayerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host of a channel layer's URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a host in a URL has exactly these parts"
)]
pub struct Host {
    /// A name or an address; an IPv6 address without its brackets.
    pub name: String,
    /// The port, if the URL says it.
    pub port: Option<u16>,
}

impl Host {
    /// The port, `default` if the URL does not say it.
    #[must_use]
    pub fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }
}

impl FromStr for Host {
    type Err = Error;

    /// Reads `name`, `name:port`, `[IPv6]` or `[IPv6]:port`.
    fn from_str(host: &str) -> Result<Self> {
        url::parse_host(host)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]", self.name)?;
        } else {
            f.write_str(&self.name)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// What would be taken for something else in each part of a URL.
const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'#').add(b'&').add(b'=');
const USER: &AsciiSet = &PATH.add(b':').add(b'@').add(b'/');

/// The same error, with the table the URL stands in.
fn rename(error: Error, options: &Options) -> Error {
    match error {
        Error::Config { option, reason } => options.error(&option, reason),
        other => other,
    }
}
