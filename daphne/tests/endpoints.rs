//! What a server can listen on.

mod support;

use std::error::Error as _;
use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use asgiref::{InMemoryChannelLayer, Message, message};
use daphne::{BoundAddr, Endpoint, Error, Server};
use support::app::App;
use support::client::Client;
use support::log::Log;
use support::{LIMIT, within};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server on endpoints of a test's choice.
struct Running {
    app: App,
    addrs: Vec<BoundAddr>,
    log: Log,
    stop: oneshot::Sender<()>,
    task: JoinHandle<daphne::Result<()>>,
}

impl Running {
    async fn on(endpoints: &[Endpoint]) -> daphne::Result<Self> {
        let layer = Arc::new(InMemoryChannelLayer::new());
        let log = Log::new();
        let mut builder = log.attach(Server::builder(Arc::clone(&layer) as _));
        for endpoint in endpoints {
            builder = builder.endpoint(endpoint.clone());
        }
        let bound = builder.build()?.bind().await?;
        let addrs = bound.addresses();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(bound.run(async move {
            let _ = stopped.await;
        }));
        Ok(Self {
            app: App::new(layer),
            addrs,
            log,
            stop,
            task,
        })
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        within("the server to stop", self.task)
            .await
            .unwrap()
            .unwrap();
    }

    /// Sends a request through `client`, answers it and returns its message.
    async fn request<S>(&self, client: &mut Client<S>) -> Message
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        client.send("GET /here HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let request = self.app.request().await;
        self.app
            .reply(&request, message! { "status" => 200, "content" => b"here" })
            .await;
        assert_eq!(client.response().await.body, b"here");
        request
    }
}

async fn connect_unix(path: &Path) -> Client<UnixStream> {
    Client::over(UnixStream::connect(path).await.expect("the socket listens"))
}

fn socket_path() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daphne.sock");
    (folder, path)
}

#[tokio::test]
async fn a_tcp_endpoint_with_port_0_says_which_port_it_got() {
    let endpoint: Endpoint = "tcp:port=0:interface=127.0.0.1".parse().unwrap();
    let server = Running::on(&[endpoint]).await.unwrap();
    let [BoundAddr::Tcp(addr)] = server.addrs[..] else {
        panic!("{:?}", server.addrs);
    };
    assert!(addr.ip().is_loopback());
    assert_ne!(addr.port(), 0);
    let request = server.request(&mut Client::connect(addr).await).await;
    let local = request.list("server").unwrap();
    assert_eq!(local[1].as_int(), Some(i64::from(addr.port())));
    server.stop().await;
}

#[tokio::test]
async fn several_endpoints_serve_one_application() {
    let (_folder, path) = socket_path();
    let server = Running::on(&[
        Endpoint::tcp("127.0.0.1", 0),
        Endpoint::unix(&path),
        Endpoint::tcp("127.0.0.1", 0),
    ])
    .await
    .unwrap();
    assert_eq!(server.addrs.len(), 3);
    for addr in &server.addrs {
        match addr {
            BoundAddr::Tcp(addr) => {
                server.request(&mut Client::connect(*addr).await).await;
            }
            other => {
                assert_eq!(*other, BoundAddr::Unix(Some(path.clone())));
                server.request(&mut connect_unix(&path).await).await;
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_host_name_is_an_interface() {
    let server = Running::on(&[Endpoint::tcp("localhost", 0)]).await.unwrap();
    assert!(!server.addrs.is_empty());
    for addr in &server.addrs {
        let addr = addr.tcp().expect("a TCP address");
        assert!(addr.ip().is_loopback());
        server.request(&mut Client::connect(addr).await).await;
    }
}

#[tokio::test]
async fn clients_of_a_unix_socket_have_no_address() {
    let (_folder, path) = socket_path();
    let server = Running::on(&[Endpoint::unix(&path)]).await.unwrap();
    let request = server.request(&mut connect_unix(&path).await).await;
    for key in ["client", "server"] {
        assert!(
            request.get(key).is_none_or(asgiref::Value::is_null),
            "{request}"
        );
    }
    assert_eq!(request.text("scheme").unwrap(), "http");
    let lines = server.log.lines(1, LIMIT).await;
    assert!(lines[0].starts_with("None - - ["), "{lines:?}");
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_is_removed_at_the_end() {
    let (_folder, path) = socket_path();
    for (text, mode) in [("", 0o666), (":mode=600", 0o600), (":mode=660", 0o660)] {
        let endpoint: Endpoint = format!("unix:{}{text}", path.display()).parse().unwrap();
        let server = Running::on(&[endpoint]).await.unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
        server.stop().await;
        assert!(!path.exists(), "the socket's file is left behind");
    }
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced() {
    let (_folder, path) = socket_path();
    // Dropping a listener does not remove its file.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = Running::on(&[Endpoint::unix(&path)]).await.unwrap();
    server.request(&mut connect_unix(&path).await).await;
}

#[tokio::test]
async fn a_socket_in_use_and_other_files_are_left_alone() {
    let (_folder, path) = socket_path();
    let other = UnixListener::bind(&path).unwrap();
    let error = Running::on(&[Endpoint::unix(&path)])
        .await
        .err()
        .expect("an error");
    assert!(matches!(error, Error::Bind { .. }), "{error:?}");
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    drop(other);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert!(Running::on(&[Endpoint::unix(&path)]).await.is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn an_inherited_descriptor_is_listened_on_whatever_it_is() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Running::on(&[Endpoint::fd(tcp.as_raw_fd())]).await.unwrap();
    let addr = tcp.local_addr().unwrap();
    assert_eq!(server.addrs, [BoundAddr::Tcp(addr)]);
    server.request(&mut Client::connect(addr).await).await;

    let (_folder, path) = socket_path();
    let unix = UnixListener::bind(&path).unwrap();
    let server = Running::on(&[Endpoint::fd(unix.as_raw_fd())])
        .await
        .unwrap();
    server.request(&mut connect_unix(&path).await).await;
}

#[tokio::test]
async fn a_descriptor_that_is_no_listener_is_refused() {
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = tempfile::tempfile().unwrap();
    for fileno in [one.as_raw_fd(), file.as_raw_fd(), 999_999] {
        let error = Running::on(&[Endpoint::fd(fileno)])
            .await
            .err()
            .expect("an error");
        assert_eq!(
            error.to_string(),
            format!("cannot listen on fd:fileno={fileno}")
        );
        assert!(error.source().is_some());
    }
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Running::on(&[
        Endpoint::tcp("127.0.0.1", 0),
        Endpoint::tcp("127.0.0.1", port),
    ])
    .await
    .err()
    .expect("an error");
    assert_eq!(
        error.to_string(),
        format!("cannot listen on tcp:port={port}:interface=127.0.0.1")
    );
    let source = error.source().expect("what the system said").to_string();
    assert!(source.contains("in use"), "{source}");
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_an_error() {
    let error = Running::on(&[Endpoint::tcp("host.invalid", 0)]).await.err();
    assert!(matches!(error, Some(Error::Bind { .. })), "{error:?}");
}

#[tokio::test]
async fn nothing_to_listen_on_is_an_error() {
    let error = Running::on(&[]).await.err();
    assert!(matches!(error, Some(Error::NoEndpoint)), "{error:?}");
}

#[tokio::test]
async fn ipv6_addresses_are_listened_on() {
    let server = match Running::on(&[Endpoint::tcp("[::1]", 0)]).await {
        Ok(server) => server,
        Err(error) => {
            let loopback = TcpListener::bind("[::1]:0");
            assert!(
                loopback.is_ok(),
                "this machine has no IPv6 loopback address; run: \
                 sysctl -w net.ipv6.conf.lo.disable_ipv6=0"
            );
            panic!("{error}");
        }
    };
    let addr = server.addrs[0].tcp().unwrap();
    let request = server.request(&mut Client::connect(addr).await).await;
    assert_eq!(request.list("client").unwrap()[0].as_text().unwrap(), "::1");
    assert_eq!(request.list("server").unwrap()[0].as_text().unwrap(), "::1");
}
