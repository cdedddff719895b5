//! What is said of messages to groups that were dropped.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asgiref::{Groups as _, InMemoryChannelLayer};
use tracing::subscriber::DefaultGuard;

use crate::{capacity, channel, group, number};

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines since the last call.
    fn take(&self) -> Vec<String> {
        let text = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(text).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Room for one message, and two members on that channel.
async fn full_group() -> InMemoryChannelLayer {
    let layer = capacity(1);
    for member in ["process!1", "process!2"] {
        layer
            .group_add(&group("crowd"), &channel(member))
            .await
            .unwrap();
    }
    layer
}

#[tokio::test(start_paused = true)]
async fn losses_are_logged_at_once_and_then_in_sums() {
    let (log, _guard) = Log::begin();
    let layer = full_group().await;
    let crowd = group("crowd");
    let send = || layer.send_group(&crowd, number(1));
    send().await.unwrap();
    let lines = log.take();
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    for part in ["WARN", "InMemoryChannelLayer", "\"crowd\"", "dropped=1"] {
        assert!(line.contains(part), "{part} in {line}");
    }

    for _ in 0..20 {
        send().await.unwrap();
    }
    assert_eq!(log.take(), [""; 0], "within the interval");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let lines = log.take();
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(line.contains("dropped=40"), "{line}");

    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.take(), [""; 0], "nothing more was lost");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_logged_while_there_is_room() {
    let (log, _guard) = Log::begin();
    let layer = capacity(2);
    for member in ["process!1", "process!2"] {
        layer
            .group_add(&group("crowd"), &channel(member))
            .await
            .unwrap();
    }
    layer.send_group(&group("crowd"), number(1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(log.take(), [""; 0]);
}
