use std::fmt;
use std::net::SocketAddr;

use bytestring::ByteString;

use crate::error::{Error, Result};
use crate::value::Value;

/// One end of a connection: the `[host, port]` pair of the keys `client` and `server`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these two items"
)]
pub struct Address {
    /// An IPv4 or IPv6 address, or a host name.
    pub host: ByteString,
    /// The TCP or UDP port.
    pub port: u16,
}

impl Address {
    /// Puts host and port together.
    pub fn new(host: impl Into<ByteString>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// Reads the pair at `key` of a message; null means that there is no address.
    pub(super) fn read(key: &str, value: &Value) -> Result<Option<Self>> {
        let pair = match value {
            Value::Null => return Ok(None),
            Value::List(items) => items.as_slice(),
            _ => &[],
        };
        let [Value::Text(host), Value::Int(port)] = pair else {
            return Err(Error::invalid_message(
                key,
                format_args!("must be a list of a text host and an integer port, not {value}"),
            ));
        };
        let port = u16::try_from(*port).map_err(|_| {
            Error::invalid_message(key, format_args!("port {port} is not within 0 to 65535"))
        })?;
        Ok(Some(Self {
            host: host.clone(),
            port,
        }))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip().to_string(), address.port())
    }
}

impl From<Address> for Value {
    fn from(address: Address) -> Self {
        Self::List(vec![
            Self::Text(address.host),
            Self::Int(address.port.into()),
        ])
    }
}

impl TryFrom<&Value> for Address {
    type Error = Error;

    fn try_from(value: &Value) -> Result<Self> {
        Self::read("address", value)?
            .ok_or_else(|| Error::invalid_message("address", "must be a list, not null"))
    }
}

/// `host:port`, with brackets around an IPv6 address.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
