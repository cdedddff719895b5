use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use asgiref::{BoxError, Bytes, ChannelLayer, Extension, config};
use daphne::ServerBuilder;
use http::{Request, Response};
use tower::Service;

use crate::application::layers::private_layer;
use crate::application::{AdjustServer, AdjustWorker, Application};
use crate::consumer::Consumer;
use crate::error::{Error, Result};
use crate::http::{AsgiHandler, Body};
use crate::layers::{ChannelLayers, DEFAULT_CHANNEL_LAYER};
use crate::routing::{DefaultRoutes, Router};
use crate::worker::WorkerBuilder;

/// The parts of an [`Application`]; made by [`Application::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct ApplicationBuilder {
    routers: BTreeMap<String, Router>,
    defaults: DefaultRoutes,
    layers: ChannelLayers,
    settings: config::ChannelLayers,
    required: Vec<Extension>,
    adjust_worker: Option<AdjustWorker>,
    adjust_server: Option<AdjustServer>,
}

impl ApplicationBuilder {
    pub(super) fn new() -> Self {
        Self {
            routers: BTreeMap::new(),
            defaults: DefaultRoutes::new(),
            layers: ChannelLayers::default(),
            settings: config::ChannelLayers::default(),
            required: Vec::new(),
            adjust_worker: None,
            adjust_server: None,
        }
    }

    /// The routing of the default channel layer's messages.
    #[doc(alias = "ROUTING")]
    pub fn router(self, router: Router) -> Self {
        self.router_for(DEFAULT_CHANNEL_LAYER, router)
    }

    /// The routing of another layer's messages.
    pub fn router_for(mut self, alias: impl Into<String>, router: Router) -> Self {
        self.routers.insert(alias.into(), router);
        self
    }

    /// Gives HTTP requests that no route takes to a [`tower::Service`], normally an
    /// `axum::Router`. Without it they get 404.
    ///
    /// Shorthand for [`http_consumer`](Self::http_consumer) with an [`AsgiHandler`], which has
    /// settings of its own.
    pub fn http<T, B>(self, service: T) -> Self
    where
        T: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>>,
        T: Clone + Send + Sync + 'static,
        T::Future: Send,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        self.http_consumer(AsgiHandler::new(service))
    }

    /// Gives HTTP requests that no route takes to a consumer.
    pub fn http_consumer<C, Args>(mut self, consumer: C) -> Self
    where
        C: Consumer<Args>,
        Args: 'static,
    {
        self.defaults = self.defaults.http(consumer);
        self
    }

    /// Adds a channel layer under an alias. It goes before one in the settings.
    #[doc(alias = "CHANNEL_LAYERS")]
    pub fn layer(mut self, alias: impl Into<String>, layer: Arc<dyn ChannelLayer>) -> Self {
        self.layers = self.layers.with(alias, layer);
        self
    }

    /// Adds the channel layers of a configuration file: those that [`daphne::layers`] knows.
    ///
    /// ```
    /// use channels::Application;
    /// use channels::asgiref::config::ChannelLayers;
    ///
    /// let settings = ChannelLayers::from_toml(r#"
    ///     [channel_layers.default]
    ///     backend = "memory"
    ///     capacity = 200
    /// "#)?;
    /// let application = Application::builder().settings(settings).build()?;
    /// # Ok::<(), channels::Error>(())
    /// ```
    pub fn settings(mut self, settings: config::ChannelLayers) -> Self {
        self.settings = settings;
        self
    }

    /// Extensions of the channel layers that the application cannot do without: workers do not
    /// start on a layer that lacks one.
    pub fn require(mut self, extensions: impl IntoIterator<Item = Extension>) -> Self {
        self.required.extend(extensions);
        self
    }

    /// Changes the settings of the workers that [commands](crate::management) start. What is
    /// given on the command line goes before.
    pub fn worker(
        mut self,
        adjust: impl Fn(WorkerBuilder) -> WorkerBuilder + Send + Sync + 'static,
    ) -> Self {
        self.adjust_worker = Some(Arc::new(adjust));
        self
    }

    /// Changes the settings of the protocol server that [`runserver`](crate::management::runserver)
    /// starts: subprotocols, limits, endpoints besides the one on the command line.
    pub fn server(
        mut self,
        adjust: impl Fn(ServerBuilder) -> ServerBuilder + Send + Sync + 'static,
    ) -> Self {
        self.adjust_server = Some(Arc::new(adjust));
        self
    }

    /// Opens the channel layers and makes the application.
    ///
    /// If no layer is called `default`, there will be one in memory. In each channel it has room
    /// for 1,000 messages, but
    ///
    /// * for 2,000 connections that wait to be accepted;
    /// * for 32 parts of 64 KiB in the body channel of an upload.
    ///
    /// Messages to connections do not lie in it: they go straight to where the protocol server
    /// keeps what a client has still to read, see
    /// [`websocket_max_queue`](ServerBuilder::websocket_max_queue).
    ///
    /// # Errors
    ///
    /// [`daphne::Error::Layer`] for a layer that cannot be opened as it is configured,
    /// [`Error::Config`] for a routing without a layer.
    pub fn build(self) -> Result<Application> {
        let mut layers = self.layers;
        for (alias, settings) in self.settings.iter() {
            if !layers.contains(alias) {
                layers = layers.with(alias, daphne::layers::from_settings(settings)?);
            }
        }
        if !layers.contains(DEFAULT_CHANNEL_LAYER) {
            layers = layers.with(DEFAULT_CHANNEL_LAYER, private_layer()?);
        }
        for alias in self.routers.keys() {
            if !layers.contains(alias) {
                let reason = "there is a routing for it, but no channel layer of this alias";
                return Err(Error::config(format!("channel_layers.{alias}"), reason));
            }
        }
        Ok(Application {
            routers: self.routers,
            defaults: self.defaults,
            layers,
            required: self.required,
            adjust_worker: self.adjust_worker,
            adjust_server: self.adjust_server,
        })
    }
}

impl fmt::Debug for ApplicationBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationBuilder")
            .field("routers", &self.routers)
            .field("defaults", &self.defaults)
            .field("layers", &self.layers)
            .field("settings", &self.settings)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}
