use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, ChannelLayerExt as _, ChannelName, Extension, Glob, Message};

use crate::context::Origin;
use crate::error::{Error, Result};
use crate::http::Streams;
use crate::layers::{ChannelLayers, DEFAULT_CHANNEL_LAYER};
use crate::routing::{DefaultRoutes, Router, RoutingTable};
use crate::worker::report::ErrorReport;
use crate::worker::settings::Settings;
use crate::worker::{Shared, Worker};

/// Settings of a [`Worker`]; made by [`Worker::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct WorkerBuilder {
    layer: Arc<dyn ChannelLayer>,
    alias: String,
    layers: Option<ChannelLayers>,
    router: Router,
    defaults: Option<DefaultRoutes>,
    only: Vec<String>,
    exclude: Vec<String>,
    required: Vec<Extension>,
    settings: Settings,
}

impl WorkerBuilder {
    pub(super) fn new(layer: Arc<dyn ChannelLayer>, router: Router) -> Self {
        Self {
            layer,
            alias: DEFAULT_CHANNEL_LAYER.to_owned(),
            layers: None,
            router,
            defaults: None,
            only: Vec::new(),
            exclude: Vec::new(),
            required: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// All channel layers of the program, for consumers that send on another one, and the alias
    /// of the worker's own. Without it the worker's layer is the only one, as `default`.
    pub fn layers(mut self, layers: ChannelLayers, alias: impl Into<String>) -> Self {
        self.layers = Some(layers);
        self.alias = alias.into();
        self
    }

    /// What to do with messages of protocol servers that no route takes. By default they are
    /// errors, and their channels are only listened on if there is a route for them.
    pub fn default_routes(mut self, defaults: DefaultRoutes) -> Self {
        self.defaults = Some(defaults);
        self
    }

    /// Listens only on channels whose name matches one of these shell globs; on all if there are
    /// none, which is the default.
    pub fn only_channels<G>(mut self, globs: impl IntoIterator<Item = G>) -> Self
    where
        G: Into<String>,
    {
        self.only.extend(globs.into_iter().map(Into::into));
        self
    }

    /// Does not listen on channels whose name matches one of these shell globs. Default: none.
    pub fn exclude_channels<G>(mut self, globs: impl IntoIterator<Item = G>) -> Self
    where
        G: Into<String>,
    {
        self.exclude.extend(globs.into_iter().map(Into::into));
        self
    }

    /// How many consumers may run at once. Default: 128.
    ///
    /// With 1, messages are consumed one after the other. With more, as with several workers,
    /// two messages of one connection may be consumed at the same time; see
    /// [Order](crate#order).
    pub const fn concurrency(mut self, concurrency: usize) -> Self {
        self.settings.concurrency = concurrency;
        self
    }

    /// How often a message is put back at a consumer's
    /// [request](crate::ConsumerError::ConsumeLater) before it is dropped. Default: 10.
    pub const fn message_retries(mut self, retries: u32) -> Self {
        self.settings.message_retries = retries as u64;
        self
    }

    /// How long a message waits before it is put back for the first time; the wait doubles each
    /// time, up to a hundred times this, and is shortened by up to a half at random. Zero puts
    /// messages back at once. Default: 50 ms.
    pub const fn retry_delay(mut self, delay: Duration) -> Self {
        self.settings.retry_delay = delay;
        self
    }

    /// How long to go on trying to send a consumer's message to a full channel before it is
    /// dropped. Default: 5 s, as long as daphne waits for a WebSocket to be accepted.
    pub const fn send_timeout(mut self, timeout: Duration) -> Self {
        self.settings.send_timeout = timeout;
        self
    }

    /// How long a consumer may run before it is given up as failed. Plain functions
    /// ([`sync`](crate::sync)) cannot be interrupted: they run on, but nobody waits. Default: as
    /// long as it likes.
    pub const fn consumer_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.settings.consumer_timeout = timeout;
        self
    }

    /// Closes a WebSocket with this code if the consumer of its `websocket.receive` fails; 1011
    /// is the code for internal errors. Default: such errors are only logged.
    pub const fn close_on_error(mut self, code: Option<u16>) -> Self {
        self.settings.close_on_error = code;
        self
    }

    /// How long consumers may go on running when the worker is told to stop. Default: 10 s.
    pub const fn grace_period(mut self, grace: Duration) -> Self {
        self.settings.grace_period = grace;
        self
    }

    /// Makes [`build`](Self::build) fail if the channel layer lacks an extension the application
    /// needs, groups for most. Default: none is required, and their use fails where they lack.
    pub fn require(mut self, extensions: impl IntoIterator<Item = Extension>) -> Self {
        self.required.extend(extensions);
        self
    }

    /// Calls `function` with every message before it is consumed.
    pub fn on_message(
        mut self,
        function: impl Fn(&ChannelName, &Message) + Send + Sync + 'static,
    ) -> Self {
        self.settings.on_message = Some(Arc::new(function));
        self
    }

    /// Calls `function` with every error, for services that collect them. The worker logs them
    /// in any case.
    pub fn on_error(mut self, function: impl Fn(&ErrorReport<'_>) + Send + Sync + 'static) -> Self {
        self.settings.on_error = Some(Arc::new(function));
        self
    }

    /// Calls `function` when the worker begins to listen.
    pub fn on_ready(mut self, function: impl Fn() + Send + Sync + 'static) -> Self {
        self.settings.on_ready = Some(Arc::new(function));
        self
    }

    /// Checks the settings and makes the worker.
    ///
    /// # Errors
    ///
    /// [`Error::NoChannels`] if there is nothing to listen on, [`Error::Config`] for settings
    /// that cannot be used, [`asgiref::Error::Unsupported`] if the layer lacks an extension,
    /// [`asgiref::Error::InvalidName`] if there is a route for a channel with a local part.
    pub fn build(self) -> Result<Worker> {
        if self.settings.concurrency == 0 {
            return Err(Error::config("concurrency", "must be at least 1"));
        }
        if self
            .settings
            .consumer_timeout
            .is_some_and(|timeout| timeout.is_zero())
        {
            return Err(Error::config(
                "consumer_timeout",
                "must be longer than zero",
            ));
        }
        for extension in self.required {
            if !self.layer.extensions().contains(&extension) {
                return Err(self.layer.unsupported(extension).into());
            }
        }
        let table = RoutingTable::new(&self.router, self.defaults);
        let channels = select(&table, &self.only, &self.exclude)?;
        let layers = self
            .layers
            .unwrap_or_else(|| ChannelLayers::default().with(&*self.alias, self.layer.clone()));
        let streams = Arc::new(Streams::new(Arc::clone(&self.layer)));
        Ok(Worker::new(Shared {
            origin: Arc::new(Origin {
                alias: self.alias,
                layer: self.layer,
                layers,
                message_retries: self.settings.message_retries,
                streams,
            }),
            table,
            channels,
            settings: self.settings,
            counters: Default::default(),
        }))
    }
}

/// The channels to listen on, in alphabetical order.
fn select(table: &RoutingTable, only: &[String], exclude: &[String]) -> Result<Vec<ChannelName>> {
    let mut channels: Vec<_> = table.channel_names().into_iter().collect();
    if channels.is_empty() {
        return Err(Error::NoChannels {
            reason: "there are no routes".to_owned(),
        });
    }
    let (only_globs, exclude_globs) = (globs(only)?, globs(exclude)?);
    let any =
        |globs: &[Glob], name: &ChannelName| globs.iter().any(|glob| glob.matches(name.as_str()));
    channels.retain(|name| {
        (only_globs.is_empty() || any(&only_globs, name)) && !any(&exclude_globs, name)
    });
    if channels.is_empty() {
        return Err(Error::NoChannels {
            reason: format!(
                "only channels {only:?} without {exclude:?} leaves none of those with routes ({})",
                list(&table.channel_names()),
            ),
        });
    }
    channels
        .iter()
        .try_for_each(ChannelName::check_receivable)?;
    Ok(channels)
}

fn globs(patterns: &[String]) -> Result<Vec<Glob>> {
    Ok(patterns
        .iter()
        .map(|pattern| Glob::new(pattern))
        .collect::<asgiref::Result<_>>()?)
}

/// Names for people, separated by commas.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a ChannelName>) -> String {
    let names: Vec<_> = names.into_iter().map(ChannelName::as_str).collect();
    names.join(", ")
}
