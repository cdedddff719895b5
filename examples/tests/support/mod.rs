//! An example as its users run it: a process of its own.
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A running example; ends when this value is dropped.
pub(crate) struct Program {
    child: Child,
    /// Kept open, for the program to write to.
    _stdout: BufReader<ChildStdout>,
    /// What the program has written to standard error, its log.
    log: Log,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts the program `path` with `arguments`, of which one is an address (with port 0 for any
    /// free one), and waits until it says where it is.
    pub(crate) fn start(path: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().expect("its log is piped");
        let log = Log::default();
        log.clone().collect(stderr);
        let stdout = child.stdout.take().expect("its output is piped");
        let mut stdout = BufReader::new(stdout);
        let address = address_in(&mut stdout);
        Self {
            child,
            _stdout: stdout,
            log,
            address,
        }
    }

    /// Waits for a line of the log with all of `parts` in it.
    pub(crate) async fn wait_for_log(&self, parts: &[&str]) {
        let logged = timeout(LIMIT, async {
            loop {
                let log = self.log.read();
                if log
                    .lines()
                    .any(|line| parts.iter().all(|part| line.contains(part)))
                {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        logged
            .await
            .unwrap_or_else(|_| panic!("{parts:?} is logged"));
    }
}

/// A connection to a program.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a WebSocket to `program`.
pub(crate) async fn open(program: &Program, path: &str) -> tungstenite::Result<Socket> {
    let url = format!("ws://{}{path}", program.address);
    let opening = timeout(LIMIT, tokio_tungstenite::connect_async(url)).await;
    opening
        .expect("the handshake is answered")
        .map(|(socket, _)| socket)
}

/// The next frame of `socket`, which must be text and JSON.
pub(crate) async fn next_json(socket: &mut Socket, who: &str) -> Value {
    let next = timeout(LIMIT, socket.next()).await;
    let frame = next
        .unwrap_or_else(|_| panic!("{who} waits in vain"))
        .expect("the connection stays open")
        .expect("frames are well-formed");
    let text = frame.to_text().expect("frames are text");
    serde_json::from_str(text).expect("texts are JSON")
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    /// Reads until the program ends, in a thread of its own.
    fn collect(self, stderr: ChildStderr) {
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
    }

    fn read(&self) -> String {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }
}

impl Drop for Program {
    /// Ends the program as a crash would; shows its log if the test has failed.
    fn drop(&mut self) {
        // An error here means that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the log of the program:\n{}", self.log.read());
        }
    }
}

/// The first address the program prints.
fn address_in(stdout: &mut BufReader<ChildStdout>) -> SocketAddr {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        let read = stdout.read_line(&mut line).expect("its output is text");
        assert!(read > 0, "the program ended without an address: {said:?}");
        let url = line.split_once("http://").map(|(_, url)| url);
        let host = url.and_then(|url| url.split(['/', ' ', '\n']).next());
        if let Some(address) = host.and_then(|host| host.parse().ok()) {
            return address;
        }
        said.push_str(&line);
    }
}
