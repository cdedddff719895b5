//! The chat as its users run it: a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long anything may take that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The running chat; ends when this value is dropped.
pub(crate) struct Chat {
    child: Child,
    /// Kept open, for the program to write to.
    _stdout: BufReader<ChildStdout>,
    /// Collects what the program writes to standard error, its log.
    log: Option<JoinHandle<String>>,
    pub(crate) address: SocketAddr,
}

impl Chat {
    /// Starts the program at `address` (port 0 for any free one) and waits until it says where it
    /// is.
    pub(crate) fn start(address: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chat"))
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the chat starts");
        let mut stderr = child.stderr.take().expect("its log is piped");
        let log = thread::spawn(move || {
            let mut log = String::new();
            // What was read before an error is worth showing too.
            let _ = stderr.read_to_string(&mut log);
            log
        });
        let stdout = child.stdout.take().expect("its output is piped");
        let mut stdout = BufReader::new(stdout);
        let address = address_in(&mut stdout);
        Self {
            child,
            _stdout: stdout,
            log: Some(log),
            address,
        }
    }
}

impl Drop for Chat {
    /// Ends the program as a crash would; shows its log if the test has failed.
    fn drop(&mut self) {
        // An error here means that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.take().and_then(|log| log.join().ok());
        if thread::panicking() {
            eprintln!("the log of the chat:\n{}", log.unwrap_or_default());
        }
    }
}

/// The first address the program prints.
fn address_in(stdout: &mut BufReader<ChildStdout>) -> SocketAddr {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        let read = stdout.read_line(&mut line).expect("its output is text");
        assert!(read > 0, "the chat ended without an address: {said:?}");
        let url = line.split_once("http://").map(|(_, url)| url);
        let host = url.and_then(|url| url.split(['/', ' ', '\n']).next());
        if let Some(address) = host.and_then(|host| host.parse().ok()) {
            return address;
        }
        said.push_str(&line);
    }
}
