use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use asgiref::config::{Host, LayerSettings};
use asgiref::{Error, Result};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};

use super::ConnectionOptions;

/// The ports of `amqp:` and `amqps:`.
const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;

/// The user, and password, that a new broker has.
const GUEST: &str = "guest";

/// Where a broker is and how to log in there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    tls: bool,
    host: Host,
    user: String,
    password: String,
    vhost: String,
}

impl Address {
    /// The virtual host.
    #[cfg(feature = "local")]
    pub(crate) fn vhost(&self) -> &str {
        &self.vhost
    }

    /// The addresses that the location part of a URL means: one for each host.
    pub(crate) fn of_location(settings: &LayerSettings) -> Result<Vec<Self>> {
        let tls = settings.scheme().starts_with("amqps");
        if tls && cfg!(not(feature = "tls")) {
            let reason = "`amqps:` needs the feature `tls`, which this build does not have";
            return Err(settings.options().error("url", reason));
        }
        // As `amqp://host` and `amqp://host/` were read ever: the default virtual host is `/`.
        let vhost = match settings.path().strip_prefix('/') {
            None | Some("") => "/",
            Some(vhost) => vhost,
        };
        if vhost.contains('/') && vhost != "/" {
            let reason = "the path is the virtual host; a `/` in its name is written %2F";
            // A slash that was encoded cannot be told from one that was not, and names with
            // slashes are rare; a path of several parts is a mistake more often.
            if vhost.ends_with('/') {
                return Err(settings.options().error("url", reason));
            }
        }
        if vhost.len() > 255 {
            let reason = "a virtual host's name has at most 255 bytes";
            return Err(settings.options().error("url", reason));
        }
        let local = [Host {
            name: "localhost".to_owned(),
            port: None,
        }];
        let hosts = match settings.hosts() {
            [] => &local,
            hosts => hosts,
        };
        let addresses = hosts.iter().map(|host| Self {
            tls,
            host: host.clone(),
            user: settings.username().unwrap_or(GUEST).to_owned(),
            password: settings.password().unwrap_or(GUEST).to_owned(),
            vhost: vhost.to_owned(),
        });
        Ok(addresses.collect())
    }

    /// The addresses that a URL means, which has no options.
    pub(crate) fn of_url(url: &str) -> Result<Vec<Self>> {
        let settings = LayerSettings::from_str(url)?;
        settings.require_scheme(&["amqp", "amqps"])?;
        // Options are the builder's.
        settings.options().clone().finish()?;
        Self::of_location(&settings)
    }

    /// What it is called in texts: host, port and virtual host.
    pub(crate) fn name(&self) -> Arc<str> {
        self.to_string().into()
    }

    pub(crate) fn uri(&self, options: &ConnectionOptions) -> AMQPUri {
        AMQPUri {
            scheme: if self.tls {
                AMQPScheme::AMQPS
            } else {
                AMQPScheme::AMQP
            },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.clone(),
                    password: self.password.clone(),
                },
                host: self.host.name.clone(),
                port: self.port(),
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: options.heartbeat_seconds(),
                connection_timeout: u64::try_from(options.connect_timeout.as_millis()).ok(),
                ..AMQPQueryString::default()
            },
        }
    }

    fn port(&self) -> u16 {
        self.host.port_or(if self.tls { TLS_PORT } else { PORT })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Host {
            name: self.host.name.clone(),
            port: Some(self.port()),
        };
        fmt::Display::fmt(&host, f)?;
        if self.vhost != "/" {
            write!(f, "/{}", self.vhost)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    /// Shows no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The mistake that several addresses have together, if any.
pub(crate) fn check(addresses: &[Address]) -> Result<()> {
    for (at, address) in addresses.iter().enumerate() {
        if addresses[..at].contains(address) {
            let reason = format!("{address} is there twice; each broker is named once");
            return Err(Error::config("url", reason));
        }
        if address.vhost != addresses[0].vhost {
            let reason = "the nodes of a cluster have the same virtual hosts";
            return Err(Error::config("url", reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str) -> AMQPUri {
        Address::of_url(url).unwrap()[0].uri(&ConnectionOptions::default())
    }

    #[test]
    fn virtual_hosts_are_percent_decoded() {
        for (url, vhost) in [
            ("amqp://h", "/"),
            ("amqp://h/", "/"),
            ("amqp://h/%2F", "/"),
            ("amqp://h/%2f", "/"),
            ("amqp://h/site", "site"),
            ("amqp://h/a%20b", "a b"),
            ("amqp://h/a%2Fb", "a/b"),
        ] {
            assert_eq!(uri(url).vhost, vhost, "{url}");
        }
    }

    #[test]
    fn users_and_ports_have_the_defaults_of_the_protocol() {
        let plain = uri("amqp://h");
        assert_eq!(plain.authority.port, 5672);
        assert_eq!(plain.authority.userinfo.username, "guest");
        assert_eq!(plain.authority.userinfo.password, "guest");
        let tls = uri("amqps://me:p%40ss@h:1");
        assert_eq!(tls.authority.port, 1);
        assert_eq!(tls.authority.userinfo.password, "p@ss");
        assert_eq!(uri("amqps://h").authority.port, 5671);
    }

    #[test]
    fn several_hosts_are_several_addresses() {
        let all = Address::of_url("amqp://me:secret@h1,h2:5673/site").unwrap();
        assert_eq!(format!("{all:?}"), "[h1:5672/site, h2:5673/site]");
    }
}
