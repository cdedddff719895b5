//! Routing, consumers, workers and management commands for channel layer applications.
#![forbid(unsafe_code)]

mod backoff;
mod channel;
mod consumer;
mod context;
mod error;
mod extract;
pub mod http;
mod layers;
mod middleware;
mod params;
mod pending;
mod routing;
mod worker;

pub use asgiref::{self, Message};

pub use channel::{BufferedChannel, BufferedGroup, Channel, Group};
pub use consumer::{Blocking, BlockingArgs, Consumer, IntoOutcome, block_on, sync};
pub use context::Context;
pub use error::{ConsumerError, Error, Outcome, Result};
pub use extract::{FromMessage, FromRef, Json, Params, ReplyChannel, State, Text};
pub use layers::{ChannelLayers, DEFAULT_CHANNEL_LAYER};
pub use middleware::{FromFn, Middleware, Next, from_fn};
pub use params::RouteParams;
pub use routing::{
    DefaultRoutes, Include, IntoChannelNames, Route, RouteMatch, Router, include, route, try_route,
};
pub use worker::{ErrorReport, Worker, WorkerBuilder, WorkerStatistics};
