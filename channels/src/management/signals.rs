use crate::error::{Error, Result};

/// Ready when the process is told to stop, with SIGTERM or SIGINT. The second such signal ends
/// the process at once, with the status a shell gives to what a signal has ended: 128 and the
/// signal's number.
///
/// # Errors
///
/// [`Error::Signals`] if the system does not allow to take the signals over.
pub fn shutdown_signal() -> Result<impl Future<Output = ()> + Send + 'static> {
    daphne::stop_signal().map_err(Error::Signals)
}
