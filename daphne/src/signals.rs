//! When to stop.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tracing::{info, warn};

/// A signal that comes again within this time is the same one: `timeout`, and shells that stop a
/// whole job, send it to a process and to its group.
const SAME: Duration = Duration::from_millis(200);

/// Ready when the process is told to stop, with SIGTERM or SIGINT. The second such signal ends the
/// process at once, with the status a shell gives to what a signal has ended: 128 and the signal's
/// number.
///
/// From the call on these signals do not end the process by themselves.
///
/// # Errors
///
/// If the system does not allow to take the signals over.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        let first = signals.next().await;
        info!(
            "{}: stopping; a second signal ends the process at once",
            name(first)
        );
        tokio::spawn(async move {
            let told = Told::now(first);
            let second = loop {
                let signal = signals.next().await;
                if !told.is_the_same(signal) {
                    break signal;
                }
            };
            warn!("{}: ending at once", name(second));
            std::process::exit(128 + second.as_raw_value());
        });
    })
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }
}

/// A signal that was told, and when.
struct Told {
    signal: SignalKind,
    at: Instant,
}

impl Told {
    fn now(signal: SignalKind) -> Self {
        Self {
            signal,
            at: Instant::now(),
        }
    }

    /// Whether what comes now is the signal that was told.
    fn is_the_same(&self, signal: SignalKind) -> bool {
        signal == self.signal && self.at.elapsed() < SAME
    }
}

fn name(signal: SignalKind) -> &'static str {
    if signal == SignalKind::terminate() {
        "SIGTERM"
    } else {
        "SIGINT"
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_told_twice_is_one_signal() {
        let told = Told::now(SignalKind::terminate());
        assert!(told.is_the_same(SignalKind::terminate()));
        assert!(!told.is_the_same(SignalKind::interrupt()));
        sleep(SAME).await;
        assert!(!told.is_the_same(SignalKind::terminate()));
    }
}
