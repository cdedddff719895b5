use std::future::Future;

use crate::application::Application;
use crate::error::{Error, Result};
use crate::layers::DEFAULT_CHANNEL_LAYER;

/// How [`runworker`] runs.
#[derive(Clone, Debug)]
#[must_use]
pub struct RunworkerOptions {
    layer: String,
    only_channels: Vec<String>,
    exclude_channels: Vec<String>,
    concurrency: Option<usize>,
}

impl RunworkerOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            layer: DEFAULT_CHANNEL_LAYER.to_owned(),
            only_channels: Vec::new(),
            exclude_channels: Vec::new(),
            concurrency: None,
        }
    }

    /// The alias of the channel layer whose messages to consume. Default: `default`.
    pub fn layer(mut self, alias: impl Into<String>) -> Self {
        self.layer = alias.into();
        self
    }

    /// Listens only on channels that match one of these globs. Default: on all.
    pub fn only_channels<G: Into<String>>(mut self, globs: impl IntoIterator<Item = G>) -> Self {
        self.only_channels.extend(globs.into_iter().map(Into::into));
        self
    }

    /// Does not listen on channels that match one of these globs. Default: none.
    pub fn exclude_channels<G: Into<String>>(mut self, globs: impl IntoIterator<Item = G>) -> Self {
        self.exclude_channels
            .extend(globs.into_iter().map(Into::into));
        self
    }

    /// How many consumers run at once. Default: as the application or the
    /// [worker](crate::WorkerBuilder::concurrency) says.
    pub const fn concurrency(mut self, concurrency: Option<usize>) -> Self {
        self.concurrency = concurrency;
        self
    }
}

impl Default for RunworkerOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Consumes the messages of one channel layer until `shutdown` is ready.
///
/// # Errors
///
/// [`Error::Config`] if the layer reaches no further than this process, because then nothing
/// could ever come; and as [`WorkerBuilder::build`](crate::WorkerBuilder::build) and
/// [`Worker::run`](crate::Worker::run).
pub async fn runworker(
    application: &Application,
    options: RunworkerOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let layer = application.layers().layer(&options.layer)?;
    if layer.is_process_local() {
        return Err(Error::config(
            format!("channel layer {} ({layer})", options.layer),
            "it reaches no further than this process, so a worker of its own would never get a \
             message; configure one that spans processes, or use runserver",
        ));
    }
    let mut worker = application
        .worker(&options.layer)?
        .only_channels(options.only_channels)
        .exclude_channels(options.exclude_channels);
    if let Some(concurrency) = options.concurrency {
        worker = worker.concurrency(concurrency);
    }
    let worker = worker.build()?;
    tracing::info!(
        "running worker against channel layer {} ({layer})",
        options.layer
    );
    worker.run(shutdown).await
}
