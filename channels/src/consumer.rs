//! What can be called for a message.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use crate::context::Context;
use crate::error::{ConsumerError, Outcome};
use crate::extract::FromMessage;

/// Something that is called for the messages of a route.
///
/// An async function is one if each of its arguments (up to eight) implements [`FromMessage`] and
/// it returns `()` or a `Result<(), E>` whose error converts into a [`ConsumerError`], as every
/// error does; its future must be `Send`. A plain function becomes one with [`sync`]. `Args` tells the compiler which kind
/// it is and is never written out.
///
/// ```
/// use asgiref::message;
/// use channels::{Context, Params, Text, route};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Room { room: String }
///
/// async fn ws_message(Params(Room { room }): Params<Room>, Text(text): Text, cx: Context)
///     -> channels::Result<()>
/// {
///     cx.group(format!("chat-{room}"))?.send(message! { "text" => text });
///     Ok(())
/// }
///
/// let router: channels::Router = channels::Router::new()
///     .route(route("websocket.receive", ws_message).path(r"/(?P<room>\w+)/$"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a consumer",
    label = "not a consumer",
    note = "a consumer is an async fn whose arguments (at most 8) all implement `FromMessage` and \
            which returns `()` or `Result<(), E>` with `E: Into<ConsumerError>`",
    note = "its future must be `Send`: nothing that is not, such as an `Rc` or the guard of a \
            standard mutex, may be held across an `.await`",
    note = "a function that is not async becomes a consumer with `channels::sync(function)`"
)]
pub trait Consumer<Args, S = ()>: Send + Sync + 'static {
    /// Deals with one message.
    fn call(&self, cx: Context, state: &S) -> impl Future<Output = Outcome> + Send;

    /// What the consumer is called in logs: the function's path.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// What a consumer may return.
#[diagnostic::on_unimplemented(
    message = "a consumer cannot return `{Self}`",
    label = "not `()` or `Result<(), E>`",
    note = "a consumer returns `()` or `Result<(), E>` with `E: Into<ConsumerError>`"
)]
pub trait IntoOutcome {
    /// Converts the return value.
    ///
    /// # Errors
    ///
    /// The error that was returned.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(())
    }
}

impl<E: Into<ConsumerError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        self.map_err(Into::into)
    }
}

/// Makes a consumer of a function that is not async: for code that blocks (files, a synchronous
/// database) or computes for long. It runs on tokio's threads for blocking work.
///
/// Its arguments are made before it is called. Messages are held as in any consumer; what is
/// async can be waited for with [`block_on`].
///
/// ```
/// use asgiref::message;
/// use channels::{Context, block_on, route, sync};
///
/// fn ws_add(cx: Context) -> channels::Result<()> {
///     block_on(cx.group("chat")?.add(cx.reply_channel()?))
/// }
///
/// let router: channels::Router =
///     channels::Router::new().route(route("websocket.connect", sync(ws_add)));
/// ```
pub const fn sync<F>(function: F) -> Blocking<F> {
    Blocking { function }
}

/// Waits for something async in a consumer made with [`sync`].
///
/// # Panics
///
/// In async code, where it would block everybody else; there, use `.await`.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Handle::current().block_on(future)
}

/// A consumer made by [`sync`].
#[derive(Clone, Copy)]
pub struct Blocking<F> {
    function: F,
}

/// Tells consumers made by [`sync`] from async ones; see [`Consumer`].
#[derive(Debug)]
pub struct BlockingArgs<Args>(PhantomData<fn(Args)>);

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocking")
            .field(&std::any::type_name::<F>())
            .finish()
    }
}

macro_rules! function_consumers {
    ($([$($argument:ident)*])*) => {$(
        impl<F, Fut, S, $($argument),*> Consumer<(Fut, $($argument,)*), S> for F
        where
            F: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            S: Send + Sync + 'static,
            $($argument: FromMessage<S> + Send + 'static,)*
        {
            #[allow(
                non_snake_case, unused_variables,
                reason = "the arguments' types name the variables; there may be none"
            )]
            async fn call(&self, cx: Context, state: &S) -> Outcome {
                $(let $argument = $argument::from_message(&cx, state).await.map_err(Into::into)?;)*
                self($($argument),*).await.into_outcome()
            }
        }

        impl<F, R, S, $($argument),*> Consumer<BlockingArgs<(R, $($argument,)*)>, S> for Blocking<F>
        where
            F: Fn($($argument),*) -> R + Clone + Send + Sync + 'static,
            R: IntoOutcome + Send + 'static,
            S: Send + Sync + 'static,
            $($argument: FromMessage<S> + Send + 'static,)*
        {
            #[allow(
                non_snake_case, unused_variables,
                reason = "the arguments' types name the variables; there may be none"
            )]
            async fn call(&self, cx: Context, state: &S) -> Outcome {
                $(let $argument = $argument::from_message(&cx, state).await.map_err(Into::into)?;)*
                let function = self.function.clone();
                run_blocking(move || function($($argument),*).into_outcome()).await
            }

            fn name(&self) -> &'static str {
                std::any::type_name::<F>()
            }
        }
    )*};
}

function_consumers! {
    [] [A1] [A1 A2] [A1 A2 A3] [A1 A2 A3 A4] [A1 A2 A3 A4 A5] [A1 A2 A3 A4 A5 A6]
    [A1 A2 A3 A4 A5 A6 A7] [A1 A2 A3 A4 A5 A6 A7 A8]
}

/// Runs `work` where it may block; a panic in it goes on in the caller, who deals with those of
/// all consumers.
async fn run_blocking(work: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(error.into()),
        },
    }
}
