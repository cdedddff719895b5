//! What happens on the connections, for logs.

mod action;
mod line;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tracing::warn;

use crate::error::{Error, Result};

use line::{Entry, Formatter};

pub use action::{Action, ActionLogger};

/// How many lines wait to be written. More are lost, and counted.
const CAPACITY: usize = 16 * 1024;

/// Writes one line for each event, in the format of the Python program:
/// `127.0.0.1:54321 - - [20/Nov/2026:17:47:00] "GET /" 200 2`.
///
/// Time is local time. The client is `host:port`, `None` on a Unix socket; WebSockets have the
/// lines `WSCONNECTING`, `WSREJECT`, `WSCONNECT` and `WSDISCONNECT`, with `-` for status and size.
///
/// A thread of its own writes, so that a slow disk delays no connection. If it falls behind by
/// more than 16,384 lines, further ones are lost and counted. Dropping the log writes what is
/// left.
///
/// ```
/// # use std::sync::Arc;
/// use daphne::{AccessLog, Server};
///
/// # let layer = Arc::new(asgiref::InMemoryChannelLayer::new());
/// let builder = Server::builder(layer).access_log(AccessLog::stdout());
/// ```
pub struct AccessLog {
    /// None once the log is being dropped.
    lines: Option<SyncSender<Entry>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    lost: AtomicU64,
}

impl AccessLog {
    /// Writes to standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::to(io::stdout())
    }

    /// Appends to the file at `path`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::AccessLog`] if the file cannot be opened.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map(Self::to)
            .map_err(|source| Error::AccessLog {
                path: path.display().to_string(),
                source,
            })
    }

    /// Writes to `writer`, which need not be buffered.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        let (lines, entries) = sync_channel(CAPACITY);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_lines(&entries, writer));
        let thread = match thread {
            Ok(thread) => Some(thread),
            Err(error) => {
                warn!(%error, "cannot start the access log's thread; nothing will be logged");
                None
            }
        };
        Self {
            lines: Some(lines),
            thread: Mutex::new(thread),
            lost: AtomicU64::new(0),
        }
    }

    /// How many lines were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl ActionLogger for AccessLog {
    fn log(&self, action: &Action<'_>) {
        let sent = self
            .lines
            .as_ref()
            .is_some_and(|lines| lines.try_send(Entry::new(action)).is_ok());
        if !sent {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.lines = None;
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A thread that panicked has said so; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

/// Writes lines until no more can come; flushes whenever none waits.
fn write_lines(entries: &Receiver<Entry>, writer: impl Write) {
    let mut writer = BufWriter::new(writer);
    let mut formatter = Formatter::default();
    let mut failed = false;
    let mut check = |written: io::Result<()>| match written {
        Ok(()) => failed = false,
        Err(error) if !failed => {
            failed = true;
            warn!(%error, "cannot write to the access log");
        }
        Err(_) => {}
    };
    while let Ok(entry) = entries.recv() {
        check(formatter.write(&mut writer, &entry));
        while let Ok(entry) = entries.try_recv() {
            check(formatter.write(&mut writer, &entry));
        }
        check(writer.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use asgiref::protocol::Address;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(data);
            Ok(data.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn dropping_the_log_writes_what_is_left() {
        let buffer = Buffer::default();
        let log = AccessLog::to(buffer.clone());
        let client = Address::new("127.0.0.1", 1234);
        for _ in 0..1000 {
            log.log(&Action::WebsocketConnected {
                client: Some(&client),
                path: "/chat",
            });
        }
        assert_eq!(log.lost(), 0);
        drop(log);
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1000);
        assert!(
            text.lines()
                .all(|line| line.ends_with("\"WSCONNECT /chat\" - -"))
        );
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = AccessLog::file("/nonexistent/access.log").unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/access.log"),
            "{error}"
        );
    }
}
