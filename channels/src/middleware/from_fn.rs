use std::fmt;

use crate::context::Context;
use crate::error::Outcome;
use crate::middleware::{Middleware, Next};

/// Makes middleware of an `async fn(Context, Next<'_>) -> Outcome`.
///
/// ```
/// use channels::{Context, Next, Outcome, Router, from_fn, route};
///
/// async fn timed(cx: Context, next: Next<'_>) -> Outcome {
///     let (consumer, started) = (next.consumer_name(), std::time::Instant::now());
///     let outcome = next.run(cx).await;
///     println!("{consumer} took {:?}", started.elapsed());
///     outcome
/// }
/// # async fn hello(cx: Context) {}
///
/// let router: Router = Router::new()
///     .route(route("websocket.receive", hello))
///     .with(from_fn(timed));
/// ```
pub const fn from_fn<F>(function: F) -> FromFn<F>
where
    FromFn<F>: Middleware,
{
    FromFn { function }
}

/// Middleware made by [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F> {
    function: F,
}

impl<F> Middleware for FromFn<F>
where
    F: for<'a> AsyncFunction<'a> + Send + Sync + 'static,
{
    async fn handle(&self, cx: Context, next: Next<'_>) -> Outcome {
        self.function.call(cx, next).await
    }
}

/// An `async fn(Context, Next<'a>) -> Outcome`, with its future named so that it can be required
/// to be `Send`.
pub trait AsyncFunction<'a> {
    /// What it returns.
    type Future: Future<Output = Outcome> + Send + 'a;

    /// Calls it.
    fn call(&self, cx: Context, next: Next<'a>) -> Self::Future;
}

impl<'a, F, Fut> AsyncFunction<'a> for F
where
    F: Fn(Context, Next<'a>) -> Fut,
    Fut: Future<Output = Outcome> + Send + 'a,
{
    type Future = Fut;

    fn call(&self, cx: Context, next: Next<'a>) -> Fut {
        self(cx, next)
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromFn")
            .field(&std::any::type_name::<F>())
            .finish()
    }
}
