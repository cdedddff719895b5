//! The access log, kept in memory.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daphne::{AccessLog, ServerBuilder};

/// What was logged so far.
#[derive(Clone, Debug, Default)]
pub struct Log {
    written: Arc<Mutex<Vec<u8>>>,
}

impl Log {
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the server write its access log here.
    pub fn attach(&self, builder: ServerBuilder) -> ServerBuilder {
        builder.access_log(AccessLog::to(self.clone()))
    }

    /// The lines so far, once there are `count` of them or `limit` is over.
    pub async fn lines(&self, count: usize, limit: Duration) -> Vec<String> {
        let _ = tokio::time::timeout(limit, async {
            while self.read().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.read()
    }

    fn read(&self) -> Vec<String> {
        let written = self.written.lock().expect("no writer panicked");
        let text = std::str::from_utf8(&written).expect("the log is text");
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut written = self.written.lock().expect("no writer panicked");
        written.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
