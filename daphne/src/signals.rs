//! When to stop.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// Ready at the first SIGINT or SIGTERM; the second ends the process at once, with the status a
/// shell gives to what a signal has ended.
///
/// # Errors
///
/// If the signals cannot be waited for.
pub(crate) fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut next = async move || {
        tokio::select! {
            _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
            _ = terminate.recv() => ("SIGTERM", SignalKind::terminate()),
        }
    };
    Ok(async move {
        let (name, _) = next().await;
        info!("{name}: stopping; a second signal ends the process at once");
        tokio::spawn(async move {
            let (name, kind) = next().await;
            warn!("{name}: ending at once");
            std::process::exit(128 + kind.as_raw_value());
        });
    })
}
