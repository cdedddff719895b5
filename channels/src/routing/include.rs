use std::fmt;

use crate::error::Result;
use crate::routing::filter::Filter;
use crate::routing::router::Router;

/// The routes of another router, under conditions; made by [`include()`].
pub struct Include<S = ()> {
    pub(super) router: Router<S>,
    pub(super) prefixes: Vec<Filter>,
}

/// Takes over the routes of `router`, to be put under prefixes with [`prefix`](Include::prefix)
/// or [`path`](Include::path).
///
/// ```
/// use channels::{Context, Router, include, route};
///
/// async fn connected(cx: Context) { /* .. */ }
///
/// let chat: Router = Router::new()
///     .route(route("websocket.connect", connected).path(r"/(?P<room>\w+)/$"));
/// let router = Router::new().include(include(chat).path(r"/chat"));
/// ```
pub const fn include<S>(router: Router<S>) -> Include<S> {
    Include {
        router,
        prefixes: Vec::new(),
    }
}

impl<S> Include<S> {
    /// Takes only messages whose value at `key` begins with a match of `pattern`, as
    /// [`Route::filter`](crate::Route::filter). The part that matches is gone for the routes
    /// inside, so that a route for `/lobby/` included under the path `/chat` takes `/chat/lobby/`.
    /// The consumer is given the message as it came.
    ///
    /// # Panics
    ///
    /// If the pattern is not a regular expression or has a group without a name. For patterns
    /// that are not written in the program there is [`try_prefix`](Self::try_prefix).
    #[must_use]
    #[track_caller]
    pub fn prefix(self, key: &str, pattern: &str) -> Self {
        match self.try_prefix(key, pattern) {
            Ok(include) => include,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`prefix`](Self::prefix), for patterns that come from a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPattern`](crate::Error::InvalidPattern).
    pub fn try_prefix(mut self, key: &str, pattern: &str) -> Result<Self> {
        self.prefixes.push(Filter::new(key, pattern)?);
        Ok(self)
    }

    /// [`prefix`](Self::prefix) for the key `path`.
    ///
    /// # Panics
    ///
    /// As [`prefix`](Self::prefix).
    #[must_use]
    #[track_caller]
    pub fn path(self, pattern: &str) -> Self {
        self.prefix("path", pattern)
    }
}

impl<S> From<Router<S>> for Include<S> {
    fn from(router: Router<S>) -> Self {
        include(router)
    }
}

impl<S> Clone for Include<S> {
    fn clone(&self) -> Self {
        Self {
            router: self.router.clone(),
            prefixes: self.prefixes.clone(),
        }
    }
}

impl<S> fmt::Debug for Include<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Include")
            .field("prefixes", &self.prefixes)
            .field("router", &self.router)
            .finish()
    }
}
