use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use asgiref::ChannelName;

use crate::consumer::Consumer;
use crate::context::Context;
use crate::error::{Outcome, Result};
use crate::middleware::{Middleware, Wrapped};
use crate::routing::filter::Filter;
use crate::routing::names::IntoChannelNames;

/// A consumer with the channels and conditions it is called for; made by [`route`].
///
/// Its text form is `channels (key=pattern, ..) -> consumer`.
#[doc(alias = "route_class")]
pub struct Route<S = ()> {
    pub(super) channels: Vec<ChannelName>,
    pub(super) filters: Vec<Filter>,
    handler: Handler<S>,
    /// Outermost last.
    middleware: Vec<Arc<dyn Wrapped>>,
}

/// Calls `consumer` for messages on `channels`: one name, or an array, slice or `Vec` of names.
///
/// # Panics
///
/// If a channel name is invalid. For names that are not written in the program there is
/// [`try_route`].
///
/// ```
/// use channels::{Context, route};
///
/// async fn connected(cx: Context) { /* .. */ }
///
/// let route: channels::Route = route("websocket.connect", connected)
///     .path(r"/chat/(?P<room>\w+)/$");
/// assert!(route.to_string().starts_with(r"websocket.connect (path=/chat/(?P<room>\w+)/$) -> "));
/// ```
#[track_caller]
pub fn route<C, Args, S>(channels: impl IntoChannelNames, consumer: C) -> Route<S>
where
    C: Consumer<Args, S>,
    Args: 'static,
    S: Clone + Send + Sync + 'static,
{
    match try_route(channels, consumer) {
        Ok(route) => route,
        Err(error) => panic!("{error}"),
    }
}

/// The same as [`route`] for channel names that come from a configuration.
///
/// # Errors
///
/// [`asgiref::Error::InvalidName`].
pub fn try_route<C, Args, S>(channels: impl IntoChannelNames, consumer: C) -> Result<Route<S>>
where
    C: Consumer<Args, S>,
    Args: 'static,
    S: Clone + Send + Sync + 'static,
{
    Ok(Route {
        channels: channels.into_channel_names()?,
        filters: Vec::new(),
        handler: Handler::of(consumer),
        middleware: Vec::new(),
    })
}

impl<S> Route<S> {
    /// Takes only messages whose value at `key` begins with a match of the regular expression
    /// `pattern`; end it in `$` to match the whole value. Named groups are captured, see
    /// [`Params`](crate::Params). With several filters all have to match.
    ///
    /// The syntax is that of the [`regex`] crate, which is Python's without look-around and
    /// back-references. `$` matches at the very end only.
    ///
    /// # Panics
    ///
    /// If the pattern is not a regular expression or has a group without a name. For patterns
    /// that are not written in the program there is [`try_filter`](Self::try_filter).
    #[must_use]
    #[track_caller]
    pub fn filter(self, key: &str, pattern: &str) -> Self {
        match self.try_filter(key, pattern) {
            Ok(route) => route,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`filter`](Self::filter), for patterns that come from a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPattern`](crate::Error::InvalidPattern).
    pub fn try_filter(mut self, key: &str, pattern: &str) -> Result<Self> {
        self.filters.push(Filter::new(key, pattern)?);
        Ok(self)
    }

    /// [`filter`](Self::filter) for the key `path`.
    ///
    /// # Panics
    ///
    /// As [`filter`](Self::filter).
    #[must_use]
    #[track_caller]
    pub fn path(self, pattern: &str) -> Self {
        self.filter("path", pattern)
    }

    /// Runs `middleware` around the consumer. What is added last runs outermost.
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// The channels whose messages the route takes.
    #[must_use]
    pub fn channels(&self) -> &[ChannelName] {
        &self.channels
    }

    /// Gives the consumer its state.
    pub(super) fn bind<T>(self, state: &S) -> Route<T>
    where
        S: Clone,
    {
        Route {
            channels: self.channels,
            filters: self.filters,
            handler: Handler::Bound(self.handler.bind(state.clone())),
            middleware: self.middleware,
        }
    }
}

impl Route {
    /// What is called for a message, middleware included; `outer` runs around it.
    pub(super) fn endpoint(&self, outer: &[Arc<dyn Wrapped>]) -> Arc<dyn Endpoint> {
        let endpoint = self.handler.clone().bind(());
        let mut middleware = self.middleware.iter().chain(outer).peekable();
        if middleware.peek().is_none() {
            return endpoint;
        }
        let middleware: Vec<_> = middleware.map(Arc::clone).rev().collect();
        Arc::new(crate::middleware::Stack::new(middleware, endpoint))
    }
}

/// A future behind a pointer.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A consumer that has all it needs.
pub(crate) trait Endpoint: Send + Sync {
    fn call(&self, cx: Context) -> BoxFuture<'_, Outcome>;

    fn name(&self) -> &'static str;
}

/// A consumer that needs no state, ready to be called.
pub(super) fn endpoint<C, Args>(consumer: C) -> Arc<dyn Endpoint>
where
    C: Consumer<Args>,
    Args: 'static,
{
    Handler::of(consumer).bind(())
}

enum Handler<S> {
    Unbound(Arc<dyn Unbound<S>>),
    Bound(Arc<dyn Endpoint>),
}

impl<S> Handler<S> {
    fn of<C, Args>(consumer: C) -> Self
    where
        C: Consumer<Args, S>,
        Args: 'static,
        S: Clone + Send + Sync + 'static,
    {
        Self::Unbound(Arc::new(Waiting {
            consumer: Arc::new(consumer),
            args: PhantomData,
        }))
    }

    fn bind(self, state: S) -> Arc<dyn Endpoint> {
        match self {
            Self::Unbound(unbound) => unbound.bind(state),
            Self::Bound(endpoint) => endpoint,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Unbound(unbound) => unbound.name(),
            Self::Bound(endpoint) => endpoint.name(),
        }
    }
}

/// A consumer whose state is not known yet.
trait Unbound<S>: Send + Sync {
    fn bind(&self, state: S) -> Arc<dyn Endpoint>;

    fn name(&self) -> &'static str;
}

struct Waiting<C, Args> {
    consumer: Arc<C>,
    args: PhantomData<fn(Args)>,
}

impl<C, Args, S> Unbound<S> for Waiting<C, Args>
where
    C: Consumer<Args, S>,
    Args: 'static,
    S: Send + Sync + 'static,
{
    fn bind(&self, state: S) -> Arc<dyn Endpoint> {
        Arc::new(Ready {
            consumer: Arc::clone(&self.consumer),
            state,
            args: self.args,
        })
    }

    fn name(&self) -> &'static str {
        self.consumer.name()
    }
}

struct Ready<C, Args, S> {
    consumer: Arc<C>,
    state: S,
    args: PhantomData<fn(Args)>,
}

impl<C, Args, S> Endpoint for Ready<C, Args, S>
where
    C: Consumer<Args, S>,
    S: Send + Sync,
{
    fn call(&self, cx: Context) -> BoxFuture<'_, Outcome> {
        Box::pin(self.consumer.call(cx, &self.state))
    }

    fn name(&self) -> &'static str {
        self.consumer.name()
    }
}

impl<S> Clone for Handler<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Unbound(unbound) => Self::Unbound(Arc::clone(unbound)),
            Self::Bound(endpoint) => Self::Bound(Arc::clone(endpoint)),
        }
    }
}

impl<S> Clone for Route<S> {
    fn clone(&self) -> Self {
        Self {
            channels: self.channels.clone(),
            filters: self.filters.clone(),
            handler: self.handler.clone(),
            middleware: self.middleware.clone(),
        }
    }
}

impl<S> fmt::Display for Route<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, channel) in self.channels.iter().enumerate() {
            write!(f, "{}{channel}", if at == 0 { "" } else { ", " })?;
        }
        for (at, filter) in self.filters.iter().enumerate() {
            write!(f, "{}{filter}", if at == 0 { " (" } else { ", " })?;
        }
        let end = if self.filters.is_empty() { "" } else { ")" };
        write!(f, "{end} -> {}", self.handler.name())
    }
}

impl<S> fmt::Debug for Route<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({self})")
    }
}
