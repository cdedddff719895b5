//! The bytes between here and a server: TCP, TLS over TCP, or a socket of this machine.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::address::{Address, Place};
use super::options::ConnectionOptions;

/// A connection of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// Opens a connection; the caller limits how long that takes.
pub(crate) async fn open(
    address: &Address,
    options: &ConnectionOptions,
) -> io::Result<Box<dyn Stream>> {
    match &address.place {
        Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Place::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            // The layer's own checks find a dead connection sooner; this one also ends it if the
            // process is stopped for a while.
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(10))
                .with_interval(Duration::from_secs(5));
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            if address.tls {
                return tls(stream, host, options).await;
            }
            Ok(Box::new(stream))
        }
    }
}

#[cfg(feature = "tls")]
async fn tls(
    stream: TcpStream,
    host: &str,
    options: &ConnectionOptions,
) -> io::Result<Box<dyn Stream>> {
    use std::sync::Arc;

    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, ServerName};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

    let invalid = |error: Box<dyn std::error::Error + Send + Sync>| {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    };
    let mut roots = RootCertStore::empty();
    match &options.tls_ca {
        Some(file) => {
            let certificates =
                CertificateDer::pem_file_iter(file).map_err(|error| invalid(error.into()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| invalid(error.into()))?;
                roots
                    .add(certificate)
                    .map_err(|error| invalid(error.into()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| invalid(error.into()))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    Ok(Box::new(stream))
}

#[cfg(not(feature = "tls"))]
async fn tls(
    _stream: TcpStream,
    _host: &str,
    _options: &ConnectionOptions,
) -> io::Result<Box<dyn Stream>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this build has no TLS",
    ))
}
