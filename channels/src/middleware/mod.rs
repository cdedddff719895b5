//! What runs around consumers.

mod from_fn;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::context::Context;
use crate::error::Outcome;
use crate::routing::{BoxFuture, Endpoint};

pub use from_fn::{FromFn, from_fn};

/// Something that runs around a consumer: before it, after it, or in its place.
///
/// Middleware of a [route](crate::Route::with) runs for that route's messages. Middleware of a
/// [router](crate::Router::with) runs for all of its routes: of a WebSocket, for the connect, each
/// receive and the disconnect, of which only the first has headers. It reads messages as they are
/// ([`Context::message`]) or as the types in [`asgiref::protocol`]:
///
/// ```
/// use asgiref::protocol::websocket::{CONNECT, Connect};
/// use channels::{ConsumerError, Context, Next, Outcome, Router, from_fn, route};
///
/// /// Takes WebSockets of the pages of one site only.
/// async fn same_site(cx: Context, next: Next<'_>) -> Outcome {
///     if *cx.channel_name() == CONNECT {
///         let connect = Connect::try_from(cx.message())?;
///         let origin = connect.headers.get("origin");
///         if origin.is_none_or(|origin| origin != "https://example.com") {
///             return Err(ConsumerError::DenyConnection);
///         }
///     }
///     next.run(cx).await
/// }
/// # async fn ws_connect() {}
/// # async fn ws_message() {}
///
/// let router: Router = Router::new()
///     .route(route("websocket.connect", ws_connect))
///     .route(route("websocket.receive", ws_message))
///     .with(from_fn(same_site));
/// ```
///
/// Where Channels for Django has a decorator, this has a middleware (or an argument of the
/// consumer, if the decorator only puts something on the message). One with settings of its own
/// is a struct:
///
/// ```
/// use channels::{Context, ConsumerError, Middleware, Next, Outcome};
///
/// /// Takes WebSockets from one address only.
/// struct OnlyFrom(&'static str);
///
/// impl Middleware for OnlyFrom {
///     async fn handle(&self, cx: Context, next: Next<'_>) -> Outcome {
///         let client = cx.message().opt_list("client")?.and_then(|client| client.first());
///         if client.and_then(|host| host.as_text()).is_none_or(|host| *host != *self.0) {
///             return Err(ConsumerError::DenyConnection);
///         }
///         next.run(cx).await
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not middleware",
    note = "implement `Middleware`, or use `from_fn` with an \
            `async fn(Context, Next<'_>) -> Outcome`"
)]
pub trait Middleware: Send + Sync + 'static {
    /// Deals with one message; `next.run(cx)` calls the consumer.
    fn handle<'a>(
        &'a self,
        cx: Context,
        next: Next<'a>,
    ) -> impl Future<Output = Outcome> + Send + 'a;
}

/// What is inside a middleware: the next one, or the consumer.
pub struct Next<'a> {
    middleware: &'a [Arc<dyn Wrapped>],
    endpoint: &'a dyn Endpoint,
}

impl<'a> Next<'a> {
    /// Calls it.
    ///
    /// # Errors
    ///
    /// What it returns.
    pub async fn run(self, cx: Context) -> Outcome {
        self.call(cx).await
    }

    /// The consumer's name in logs.
    #[must_use]
    pub fn consumer_name(&self) -> &'static str {
        self.endpoint.name()
    }

    fn call(self, cx: Context) -> BoxFuture<'a, Outcome> {
        match self.middleware.split_first() {
            None => self.endpoint.call(cx),
            Some((first, rest)) => first.handle(
                cx,
                Next {
                    middleware: rest,
                    endpoint: self.endpoint,
                },
            ),
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("middleware", &self.middleware.len())
            .field("consumer", &self.endpoint.name())
            .finish()
    }
}

/// [`Middleware`] behind a pointer.
pub(crate) trait Wrapped: Send + Sync {
    fn handle<'a>(&'a self, cx: Context, next: Next<'a>) -> BoxFuture<'a, Outcome>;
}

impl<M: Middleware> Wrapped for M {
    fn handle<'a>(&'a self, cx: Context, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(Middleware::handle(self, cx, next))
    }
}

/// A consumer with middleware around it.
pub(crate) struct Stack {
    /// Outermost first.
    middleware: Vec<Arc<dyn Wrapped>>,
    endpoint: Arc<dyn Endpoint>,
}

impl Stack {
    pub(crate) const fn new(
        middleware: Vec<Arc<dyn Wrapped>>,
        endpoint: Arc<dyn Endpoint>,
    ) -> Self {
        Self {
            middleware,
            endpoint,
        }
    }
}

impl Endpoint for Stack {
    fn call(&self, cx: Context) -> BoxFuture<'_, Outcome> {
        let next = Next {
            middleware: &self.middleware,
            endpoint: &*self.endpoint,
        };
        next.call(cx)
    }

    fn name(&self) -> &'static str {
        self.endpoint.name()
    }
}
