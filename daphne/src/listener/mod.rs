//! Listening sockets of all kinds.

mod inherited;
mod unix;

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use asgiref::protocol::Address;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::endpoint::Endpoint;
use crate::io::Socket;

use unix::SocketFile;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoundAddr {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; none if it has no name.
    Unix(Option<PathBuf>),
}

impl BoundAddr {
    /// The IP address and port, if it has them.
    #[must_use]
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// As in an URL: `http://127.0.0.1:8000`, `unix:/run/daphne.sock`.
impl fmt::Display for BoundAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    kind: Kind,
    address: BoundAddr,
    /// The Unix socket's file, removed with the listener.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection as it was accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) client: Option<Address>,
    pub(crate) server: Option<Address>,
}

impl Listener {
    /// Opens an endpoint; more than one socket if it is a name with several addresses.
    pub(crate) async fn bind(endpoint: &Endpoint) -> io::Result<Vec<Self>> {
        match endpoint {
            Endpoint::Tcp {
                interface,
                port,
                backlog,
            } => bind_tcp(interface, *port, *backlog).await,
            Endpoint::Unix {
                path,
                mode,
                backlog,
            } => {
                let (listener, file) = unix::bind(path, *mode, *backlog)?;
                Ok(vec![Self {
                    kind: Kind::Unix(UnixListener::from_std(listener)?),
                    address: BoundAddr::Unix(Some(path.clone())),
                    _file: Some(file),
                }])
            }
            Endpoint::Fd { fileno } => Ok(vec![Self::from_socket(inherited::socket(*fileno)?)?]),
            Endpoint::Systemd { index } => {
                let fileno = inherited::systemd_fileno(*index)?;
                Ok(vec![Self::from_socket(inherited::socket(fileno)?)?])
            }
        }
    }

    /// Takes over a listening socket, of whatever kind it is.
    pub(crate) fn from_socket(socket: RawSocket) -> io::Result<Self> {
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a listening stream socket",
            ));
        }
        socket.set_nonblocking(true)?;
        match socket.domain()? {
            Domain::IPV4 | Domain::IPV6 => Self::from_tcp(socket.into()),
            Domain::UNIX => Self::from_unix(socket.into()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is neither a TCP nor a Unix socket",
            )),
        }
    }

    pub(crate) fn from_tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Self {
            address: BoundAddr::Tcp(listener.local_addr()?),
            kind: Kind::Tcp(listener),
            _file: None,
        })
    }

    pub(crate) fn from_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let path = listener.local_addr()?.as_pathname().map(PathBuf::from);
        Ok(Self {
            address: BoundAddr::Unix(path),
            kind: Kind::Unix(listener),
            _file: None,
        })
    }

    pub(crate) fn address(&self) -> &BoundAddr {
        &self.address
    }

    /// Waits for the next connection.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost if the future is dropped.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Responses are written whole; waiting for more to send only delays them. If
                // the option cannot be set, they are delayed.
                let _ = stream.set_nodelay(true);
                let server = stream.local_addr().ok().map(address);
                Ok(Accepted {
                    socket: Socket::Tcp(stream),
                    peer: Some(peer),
                    client: Some(address(peer)),
                    server,
                })
            }
            Kind::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted {
                    socket: Socket::Unix(stream),
                    peer: None,
                    client: None,
                    server: None,
                })
            }
        }
    }
}

/// An IPv4 address that came over an IPv6 socket is shown as what it is.
fn address(address: SocketAddr) -> Address {
    Address::new(address.ip().to_canonical().to_string(), address.port())
}

async fn bind_tcp(interface: &str, port: u16, backlog: u32) -> io::Result<Vec<Listener>> {
    let name = interface.to_owned();
    let resolved = tokio::task::spawn_blocking(move || {
        (name.as_str(), port).to_socket_addrs().map(Vec::from_iter)
    });
    let mut addresses: Vec<SocketAddr> = resolved.await.map_err(io::Error::other)??;
    addresses.sort();
    addresses.dedup();
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut first_port = port;
    for mut address in addresses {
        // A free port, asked for with 0, is to be the same for all addresses of a name.
        address.set_port(first_port);
        let listener = listen(address, backlog)?;
        first_port = listener.local_addr()?.port();
        listeners.push(Listener::from_tcp(listener)?);
    }
    if listeners.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "the name has no address",
        ));
    }
    Ok(listeners)
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A server that is started again must not wait until the connections of the last one are
    // forgotten.
    SockRef::from(&socket).set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}
