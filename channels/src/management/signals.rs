use std::future::poll_fn;
use std::process;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// SIGTERM and SIGINT, as a program is told to stop with.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from now on: they no longer end the process by themselves.
    ///
    /// # Errors
    ///
    /// [`Error::Signals`] if the system does not allow it.
    pub fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> SignalKind {
        poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() {
                Poll::Ready(SignalKind::terminate())
            } else if self.interrupt.poll_recv(cx).is_ready() {
                Poll::Ready(SignalKind::interrupt())
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

/// Ready when the process is told to stop, with SIGTERM or SIGINT. The second such signal ends
/// the process at once, with the status a shell gives to what a signal has ended: 128 and the
/// signal's number.
///
/// # Errors
///
/// [`Error::Signals`] if the system does not allow to take the signals over.
pub fn shutdown_signal() -> Result<impl Future<Output = ()> + Send + 'static> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        let signal = signals.next().await;
        tracing::info!(
            "{}: stopping; a second signal ends the process at once",
            name(signal)
        );
        tokio::spawn(async move {
            let signal = signals.next().await;
            tracing::warn!("{}: ending at once", name(signal));
            process::exit(128 + signal.as_raw_value());
        });
    })
}

fn name(signal: SignalKind) -> &'static str {
    if signal == SignalKind::terminate() {
        "SIGTERM"
    } else {
        "SIGINT"
    }
}
