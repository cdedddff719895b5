//! An application: its routing, its HTTP handler and its channel layers.

mod builder;
mod layers;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use asgiref::{ChannelLayer, Extension};
use daphne::{Server, ServerBuilder};

use crate::error::Result;
use crate::layers::{ChannelLayers, DEFAULT_CHANNEL_LAYER};
use crate::routing::{DefaultRoutes, Router};
use crate::worker::{Worker, WorkerBuilder};

pub use builder::ApplicationBuilder;

/// What a program that serves an application needs to know of it: the routing, the handler for
/// HTTP, and the channel layers.
///
/// The commands in [`management`](crate::management) run one. A program that brings its own
/// server or worker gets them ready-made from [`server`](Self::server) and
/// [`worker`](Self::worker).
///
/// ```
/// use axum::routing::get;
/// use channels::{Application, Context, Router, route};
///
/// async fn ws_message(cx: Context) -> channels::Outcome {
///     cx.group("chat")?.send(cx.message().clone());
///     Ok(())
/// }
///
/// let application = Application::builder()
///     .router(Router::new().route(route("websocket.receive", ws_message)))
///     .http(axum::Router::new().route("/", get(|| async { "Hello world!" })))
///     .build()?;
/// # Ok::<(), channels::Error>(())
/// ```
#[derive(Clone)]
pub struct Application {
    routers: BTreeMap<String, Router>,
    defaults: DefaultRoutes,
    layers: ChannelLayers,
    required: Vec<Extension>,
    adjust_worker: Option<AdjustWorker>,
    adjust_server: Option<AdjustServer>,
}

type AdjustWorker = Arc<dyn Fn(WorkerBuilder) -> WorkerBuilder + Send + Sync>;
type AdjustServer = Arc<dyn Fn(ServerBuilder) -> ServerBuilder + Send + Sync>;

impl Application {
    /// Begins an application without routes.
    pub fn builder() -> ApplicationBuilder {
        ApplicationBuilder::new()
    }

    /// The channel layers: for code outside consumers, which sends to channels and groups of
    /// theirs.
    #[must_use]
    pub const fn layers(&self) -> &ChannelLayers {
        &self.layers
    }

    /// Adds a channel layer, or replaces the one with this alias.
    #[must_use]
    pub fn with_layer(mut self, alias: impl Into<String>, layer: Arc<dyn ChannelLayer>) -> Self {
        self.layers = self.layers.with(alias, layer);
        self
    }

    /// The aliases of the layers for whose messages the application has a routing: `default` and
    /// those given to [`ApplicationBuilder::router_for`].
    pub fn routed_aliases(&self) -> impl Iterator<Item = &str> {
        let others = self.routers.keys().map(String::as_str);
        std::iter::once(DEFAULT_CHANNEL_LAYER)
            .chain(others.filter(|alias| *alias != DEFAULT_CHANNEL_LAYER))
    }

    /// A worker for the messages of the layer `alias`, with the default routes, to be built or
    /// adjusted further.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAlias`](crate::Error::UnknownAlias).
    pub fn worker(&self, alias: &str) -> Result<WorkerBuilder> {
        let layer = Arc::clone(self.layers.layer(alias)?);
        let router = self.routers.get(alias).cloned().unwrap_or_default();
        let worker = Worker::builder(layer, router)
            .layers(self.layers.clone(), alias)
            .default_routes(self.defaults.clone())
            .require(self.required.iter().copied());
        Ok(match &self.adjust_worker {
            Some(adjust) => adjust(worker),
            None => worker,
        })
    }

    /// A protocol server that sends to the layer `alias`; it still needs an endpoint.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAlias`](crate::Error::UnknownAlias).
    pub fn server(&self, alias: &str) -> Result<ServerBuilder> {
        let server = Server::builder(Arc::clone(self.layers.layer(alias)?));
        Ok(match &self.adjust_server {
            Some(adjust) => adjust(server),
            None => server,
        })
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("routers", &self.routers)
            .field("defaults", &self.defaults)
            .field("layers", &self.layers)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}
