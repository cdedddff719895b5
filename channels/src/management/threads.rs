//! Threads that each run what is theirs.

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};

/// Runtimes of one thread each; they end when this is dropped, with all that still runs there.
///
/// Each is a runtime that could have more threads, so that `tokio::task::block_in_place` works.
#[derive(Debug)]
pub(super) struct Threads {
    runtimes: Vec<Runtime>,
    handles: Vec<Handle>,
}

impl Threads {
    /// # Errors
    ///
    /// [`Error::Thread`] if the system gives none.
    pub(super) fn start(count: usize) -> Result<Self> {
        let runtimes = (0..count)
            .map(|number| {
                Builder::new_multi_thread()
                    .worker_threads(1)
                    .thread_name(format!("channels-{number}"))
                    .enable_all()
                    .build()
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| Error::Thread { source })?;
        let handles = runtimes.iter().map(|runtime| runtime.handle().clone());
        Ok(Self {
            handles: handles.collect(),
            runtimes,
        })
    }

    pub(super) fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime cannot be waited for in another one.
        for runtime in self.runtimes.drain(..) {
            runtime.shutdown_background();
        }
    }
}
