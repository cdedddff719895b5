use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use asgiref::{ChannelName, Message};

use crate::middleware::{Middleware, Wrapped};
use crate::params::RouteParams;
use crate::routing::include::Include;
use crate::routing::route::Route;
use crate::routing::table::RoutingTable;

/// Routes, tried in the order they were added: the first that matches a message takes it.
///
/// `S` is the state its consumers need and have not been given yet; see
/// [`with_state`](Self::with_state).
///
/// ```
/// use channels::{Context, Router, include, route};
///
/// async fn chat_connect(cx: Context) { /* .. */ }
/// async fn chat_receive(cx: Context) { /* .. */ }
/// async fn reply_to_comment(cx: Context) { /* .. */ }
///
/// let chat = Router::new()
///     .route(route("websocket.connect", chat_connect).path(r"/(?P<room>\w+)/$"))
///     .route(route("websocket.receive", chat_receive));
///
/// let router: Router = Router::new()
///     .include(include(chat).path("/chat"))
///     .route(route("email.receive", reply_to_comment)
///         .filter("to_address", r".*@example\.com$")
///         .filter("subject", "reply"));
///
/// assert!(router.channel_names().contains("email.receive"));
/// ```
///
/// What consumers share within a process, a database pool for instance, they have as a
/// [`State`](crate::State) argument and the router gets from [`with_state`](Self::with_state):
///
/// ```
/// use channels::{Router, State, route};
///
/// #[derive(Clone)]
/// struct Pool;
///
/// async fn ws_message(State(pool): State<Pool>) { /* .. */ }
///
/// let router: Router = Router::new()
///     .route(route("websocket.receive", ws_message))
///     .with_state(Pool);
/// ```
pub struct Router<S = ()> {
    pub(super) entries: Vec<Entry<S>>,
    /// Outermost last.
    pub(super) middleware: Vec<Arc<dyn Wrapped>>,
}

pub(super) enum Entry<S> {
    Route(Route<S>),
    Include(Include<S>),
}

impl<S> Router<S> {
    /// A router without routes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            middleware: Vec::new(),
        }
    }

    /// Adds a route at the end.
    #[must_use]
    pub fn route(mut self, route: Route<S>) -> Self {
        self.entries.push(Entry::Route(route));
        self
    }

    /// Adds the routes of another router at the end, under the prefixes of the include.
    #[must_use]
    pub fn include(mut self, include: impl Into<Include<S>>) -> Self {
        self.entries.push(Entry::Include(include.into()));
        self
    }

    /// Runs `middleware` around every consumer of this router, whether it was added before or
    /// after, outside the middleware of the routes themselves. What is added last runs outermost.
    ///
    /// It runs for the messages of all routes: of a WebSocket, for `websocket.connect`, each
    /// `websocket.receive` and `websocket.disconnect`. What is for one of them looks at
    /// [`Context::channel_name`](crate::Context::channel_name), or is added to its
    /// [route](Route::with); see [`Middleware`].
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Gives the consumers their state. The router can then be included in one with another
    /// state, or run.
    #[must_use]
    pub fn with_state<T>(self, state: S) -> Router<T>
    where
        S: Clone,
    {
        self.bind(&state)
    }

    /// The channels for which there is a route.
    #[must_use]
    pub fn channel_names(&self) -> BTreeSet<ChannelName> {
        let mut names = BTreeSet::new();
        self.collect_channel_names(&mut names);
        names
    }

    fn bind<T>(self, state: &S) -> Router<T>
    where
        S: Clone,
    {
        let bound = self.entries.into_iter().map(|entry| match entry {
            Entry::Route(route) => Entry::Route(route.bind(state)),
            Entry::Include(include) => Entry::Include(Include {
                router: include.router.bind(state),
                prefixes: include.prefixes,
            }),
        });
        Router {
            entries: bound.collect(),
            middleware: self.middleware,
        }
    }

    fn collect_channel_names(&self, names: &mut BTreeSet<ChannelName>) {
        for entry in &self.entries {
            match entry {
                Entry::Route(route) => names.extend(route.channels.iter().cloned()),
                Entry::Include(include) => include.router.collect_channel_names(names),
            }
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        for entry in &self.entries {
            match entry {
                Entry::Route(route) => writeln!(f, "{:1$}{route}", "", 2 * depth)?,
                Entry::Include(include) => {
                    write!(f, "{:1$}include", "", 2 * depth)?;
                    for (at, prefix) in include.prefixes.iter().enumerate() {
                        write!(f, "{}{prefix}", if at == 0 { " (" } else { ", " })?;
                    }
                    let end = if include.prefixes.is_empty() { "" } else { ")" };
                    writeln!(f, "{end}")?;
                    include.router.write(f, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

impl Router {
    /// Which consumer a message on `channel` goes to, for tests of a routing; a worker does not
    /// need this.
    ///
    /// ```
    /// use asgiref::{ChannelName, message};
    /// use channels::{Router, route};
    ///
    /// async fn connected() {}
    ///
    /// let router = Router::new()
    ///     .route(route("websocket.connect", connected).path(r"/chat/(?P<room>\w+)/$"));
    /// let message = message! { "path" => "/chat/lobby/" };
    /// let found = router.find(&ChannelName::new("websocket.connect")?, &message).unwrap();
    /// assert!(found.consumer().ends_with("connected"));
    /// assert_eq!(found.params().get("room"), Some("lobby"));
    /// # Ok::<(), asgiref::Error>(())
    /// ```
    #[must_use]
    #[doc(alias = "match")]
    pub fn find(&self, channel: &ChannelName, message: &Message) -> Option<RouteMatch> {
        let table = RoutingTable::for_channel(self, channel);
        let found = table.find(channel, message)?;
        Some(RouteMatch {
            consumer: found.endpoint.name(),
            params: found.params,
        })
    }
}

/// What [`Router::find`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    consumer: &'static str,
    params: RouteParams,
}

impl RouteMatch {
    /// The consumer's name: its path, for a function.
    #[must_use]
    pub const fn consumer(&self) -> &'static str {
        self.consumer
    }

    /// What the route captured.
    #[must_use]
    pub const fn params(&self) -> &RouteParams {
        &self.params
    }
}

impl<S> Default for Router<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for Router<S> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            middleware: self.middleware.clone(),
        }
    }
}

impl<S> Clone for Entry<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Route(route) => Self::Route(route.clone()),
            Self::Include(include) => Self::Include(include.clone()),
        }
    }
}

/// One line for each route and include, what is included indented by two blanks.
impl<S> fmt::Display for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Router:")?;
        self.write(f, 1)
    }
}
