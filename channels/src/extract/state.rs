use std::convert::Infallible;

use crate::context::Context;
use crate::extract::FromMessage;

/// What all consumers of a router share: a database pool, a configuration. Given once, to
/// [`Router::with_state`](crate::Router::with_state).
///
/// It is the state of one *process*: each worker process has its own, and what changes in one (a
/// counter behind a mutex) no other gets to see. Nor is it the state of one *connection*: the next
/// message of a WebSocket may be consumed by another process. What must be known everywhere
/// belongs into a database, or goes with the messages.
///
/// ```
/// use channels::{Router, State, route};
///
/// #[derive(Clone)]
/// struct Greeting(&'static str);
///
/// async fn greet(State(greeting): State<Greeting>, cx: channels::Context) {
///     cx.reply(asgiref::message! { "text" => greeting.0 });
/// }
///
/// let router: Router = Router::new()
///     .route(route("websocket.receive", greet))
///     .with_state(Greeting("Hello!"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct State<T>(pub T);

/// Taking a part of a router's state, so that consumers can ask for just that.
///
/// ```
/// use channels::FromRef;
///
/// #[derive(Clone)]
/// struct App { name: String }
///
/// impl FromRef<App> for String {
///     fn from_ref(app: &App) -> Self {
///         app.name.clone()
///     }
/// }
/// ```
pub trait FromRef<S> {
    /// Takes the part out of the whole.
    fn from_ref(state: &S) -> Self;
}

impl<S: Clone> FromRef<S> for S {
    fn from_ref(state: &S) -> Self {
        state.clone()
    }
}

impl<S: Sync, T: FromRef<S>> FromMessage<S> for State<T> {
    type Rejection = Infallible;

    async fn from_message(_cx: &Context, state: &S) -> Result<Self, Infallible> {
        Ok(Self(T::from_ref(state)))
    }
}
