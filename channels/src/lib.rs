#![doc = include_str!("../README.md")]
//!
//! # Guide
//!
//! ## Consumers
//!
//! A [consumer](Consumer) is an async function that is called for one message. What it needs of
//! the message it has as arguments: the [`Context`], which can do everything, or what
//! [implements `FromMessage`](FromMessage), such as the captures of the route or the text of a
//! frame as JSON. A function that blocks becomes a consumer with [`sync`]; what runs around
//! consumers is [`Middleware`].
//!
//! What a consumer sends is held until it has ended, and is then sent in order, even if it
//! failed; see [`Context`]. What keeps its state is not the consumer: the next message of the
//! same connection may be consumed by another process.
//!
//! ## Routing
//!
//! A [`Router`] has [`route`]s, each for one or several channels, and [`include`](include())s
//! other routers. A route may ask that values of the message match regular expressions; named
//! groups are captured for the consumer. The first route that matches takes the message.
//!
//! Patterns must match from the start of a value, and need not match to its end, as with Python's
//! `re.match`. An include takes what its prefix matched away from what is inside it, so
//! patterns are written for the rest. A `^` in front does nothing. Values that are not text (or
//! byte strings in ASCII) do not match.
//!
//! ## Workers
//!
//! A [`Worker`] takes messages off the channels that are routed, calls their consumers and goes
//! on, whatever happens. The commands in [`management`] start workers and a protocol server for
//! an [`Application`].
//!
//! A WebSocket is accepted when the consumer of its `websocket.connect` has succeeded, unless
//! that decided otherwise; see [`Context::accept`]. Whether it was accepted or rejected, a
//! `websocket.disconnect` follows, with code 1006 for one that never opened; so in the console
//! `runserver` shows of a rejected one HANDSHAKING, REJECT and DISCONNECT.
//!
//! ## Pages that send
//!
//! A handler of [`ApplicationBuilder::http`] sends through the request's context. As in any
//! consumer, what it sends goes out after it has answered; what must not be lost after the answer
//! 200 is sent with [`send_immediately`](Context::send_immediately) instead, whose error the
//! handler sees.
//!
//! ```
//! use axum::{Extension, Router, extract::Path, routing::post};
//! use channels::asgiref::message;
//! use channels::http::AsgiRequest;
//!
//! async fn thumbnail(
//!     Extension(request): Extension<AsgiRequest>,
//!     Path(picture): Path<i64>,
//! ) -> Result<&'static str, String> {
//!     let job = message! { "picture" => picture };
//!     let thumbnails = request.context().channel("thumbnails");
//!     thumbnails.map_err(|error| error.to_string())?.send(job);
//!     Ok("soon")
//! }
//!
//! let pages: Router = Router::new().route("/thumbnail/{picture}", post(thumbnail));
//! ```
//!
//! Programs that serve nothing, such as a job at night, send with [`ChannelLayers::channel`] and
//! [`ChannelLayers::group`].
//!
//! ## Channel layers
//!
//! Without any, an application has one in memory, for `runserver` alone. Others are given to the
//! [builder](ApplicationBuilder::layer), as a URL on the command line (`--layer`, or the variable
//! `CHANNEL_LAYER`), or in a TOML file (`--settings`, `CHANNEL_SETTINGS`), which `daphne` reads
//! too:
//!
//! ```toml
//! [channel_layers.default]
//! url = "redis://10.0.0.1:6379/0"
//! symmetric_encryption_keys = ["a secret"]
//! channel_capacity = { "daphne.response.*!" = 10_000 }
//! ```
//!
//! A server that keeps messages for several processes can lose what it keeps, by a restart for
//! instance. Sockets stay open then, but are in no group any more. The layers say so, in the log
//! and with `data_lost()`; what helps without any code is to [add](BufferedGroup::add) a socket to
//! its groups with each frame that it sends, a heartbeat for instance.
//!
//! ## Order
//!
//! A worker runs up to 128 consumers [at once](WorkerBuilder::concurrency), and there may be
//! several workers. So messages of one connection that arrive back to back may be consumed at the
//! same time, the later one finished first, and what two consumers send to the same socket or
//! group may overtake each other. (So it is in the original, for sockets without
//! `enforce_ordering`.) Kept in order is what one consumer sends to one channel.
//! Where that is not enough:
//!
//! * **Number the messages.** `websocket.receive` has `order`: 0 for the connect, then 1, 2, 3 for
//!   the frames of a connection ([`websocket::Receive`](asgiref::protocol::websocket::Receive)).
//!   What goes to many is numbered where it is decided, in the database for instance. Whoever
//!   reads sorts, or sees that something is missing. This alone works with any number of workers.
//! * **Consume one after the other:** a [concurrency](WorkerBuilder::concurrency) of 1
//!   (`--concurrency 1`), in the *only* worker of these channels. To keep the others fast, route
//!   what must keep its order to a channel of its own, give it a worker of its own
//!   (`runworker --only-channels moves --concurrency 1`) and leave it out of the rest
//!   (`--exclude-channels moves`). How far a channel itself keeps the order that its senders had is
//!   the layer's matter; the in-memory layer keeps it.
//! * **Wait for an answer.** A client that sends its next frame when the last is answered has
//!   never two under way.
//!
//! ## Overload
//!
//! Channels are bounded. A frame waits in the protocol server while `websocket.receive` is full,
//! what a consumer sends to a single channel waits for [a while](WorkerBuilder::send_timeout) and
//! is then dropped, with an error in the log that says how much, although a page has answered
//! already; and
//! a message to a group passes over members whose channel is full: then the layer logs a warning
//! with the group and how many were passed over
//! ([`DroppedDeliveries`](asgiref::DroppedDeliveries)). How much the layer used by default holds is
//! said at [`ApplicationBuilder::build`]. If server and workers share a process and its memory,
//! replies do not lie in a channel: a client that reads too slowly for them is given up by the
//! server, with close code 1013 if it is a WebSocket.
//!
//! # For those who know Channels 1.1.8
//!
//! | there | here |
//! |---|---|
//! | `CHANNEL_LAYERS` setting | TOML tables `[channel_layers.NAME]`, [`ApplicationBuilder::settings`], [`ApplicationBuilder::layer`] |
//! | `ROUTING` | [`ApplicationBuilder::router`], [`router_for`](ApplicationBuilder::router_for) |
//! | `channel_layers["alias"]` | [`ChannelLayers::layer`] |
//! | `Channel(name).send(..)` | in a consumer [`Context::channel`], elsewhere [`ChannelLayers::channel`] |
//! | `Group(name).send(..)`, `.add(..)`, `.discard(..)` | in a consumer [`Context::group`], elsewhere [`ChannelLayers::group`] |
//! | `send(.., immediately=True)` | [`send_immediately`](Context::send_immediately) |
//! | `message.content` | [`Context::message`] |
//! | `message.reply_channel.send(..)` | [`Context::reply`] |
//! | `message.channel`, `message.channel_layer` | [`Context::channel_name`], [`Context::layer`] |
//! | attributes that decorators put on a message | arguments of the consumer; [`Context::attach`] |
//! | decorators around a consumer | [`Middleware`], [`Route::with`], [`Router::with`] |
//! | keyword arguments from the route | [`Params`], [`Context::params`] |
//! | `route("c", f, path=r"..")` | [`route("c", f).path(r"..")`](Route::filter) |
//! | `include(routing, path=r"..")` | [`include(router).path(r"..")`](Include::prefix) |
//! | `router.match(message)` | [`Router::find`] |
//! | `raise ConsumeLater`, `DenyConnection`, `WebsocketCloseException(code)` | [`ConsumerError`] |
//! | `AsgiHandler`, `AsgiRequest`, `encode_response` | [`http`] |
//! | `Worker(..)`, `WorkerGroup` | [`Worker`], [`WorkerBuilder::concurrency`] |
//! | signals `worker_ready`, `consumer_started`, `consumer_finished` | [`WorkerBuilder::on_ready`], [`Middleware`] |
//! | `manage.py runserver`, `runworker` | [`management`] |
//!
//! ## What is different on purpose
//!
//! * A worker does not end because of a message: not for one without a route, for a value that
//!   cannot be matched, for an exception in the wrong place or for a full channel.
//! * A consumer that fails answers: with status 500 on `http.request`, by rejecting on
//!   `websocket.connect`.
//! * [`ConsumerError::ConsumeLater`] waits before the message is tried again, a little longer each
//!   time, and so does not spin.
//! * Several consumers run at once in one worker unless its
//!   [concurrency](WorkerBuilder::concurrency) is 1.
//! * WebSockets are accepted for consumers that do not say so, as the oldest applications expect,
//!   and rejected where nothing is routed; the original accepted those.
//! * A worker without channels to listen on does not start.
//! * `$` in a pattern matches at the very end only, not before a final line break. Patterns have
//!   neither look-around nor back-references, and match in linear time.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `axum` | arguments and return values for axum handlers, see [`http`] |
//! | `metrics` | counters and gauges for the recorder of the program, see [`asgiref::metrics`] |
#![forbid(unsafe_code)]

mod application;
mod channel;
mod consumer;
mod context;
mod error;
mod extract;
pub mod http;
mod layers;
pub mod management;
mod middleware;
mod params;
mod pending;
mod routing;
mod worker;

pub use asgiref::{self, Message};

pub use application::{Application, ApplicationBuilder};
pub use channel::{BufferedChannel, BufferedGroup, Channel, Group};
pub use consumer::{Blocking, BlockingArgs, Consumer, IntoOutcome, block_on, sync};
pub use context::Context;
pub use error::{ConsumerError, Error, Outcome, Result};
pub use extract::{Content, FromMessage, FromRef, Json, Params, ReplyChannel, State, Text};
pub use layers::{ChannelLayers, DEFAULT_CHANNEL_LAYER};
pub use middleware::{FromFn, Middleware, Next, from_fn};
pub use params::RouteParams;
pub use routing::{
    DefaultRoutes, Include, IntoChannelNames, Route, RouteMatch, Router, include, route, try_route,
};
pub use worker::{ErrorReport, Worker, WorkerBuilder, WorkerStatistics};
