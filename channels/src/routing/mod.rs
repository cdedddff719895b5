//! Which consumer is called for which message.

mod defaults;
mod filter;
mod include;
mod names;
mod route;
mod router;
mod table;

pub use defaults::DefaultRoutes;
pub use include::{Include, include};
pub use names::IntoChannelNames;
pub use route::{Route, route, try_route};
pub use router::{RouteMatch, Router};

pub(crate) use route::{BoxFuture, Endpoint};
pub(crate) use table::RoutingTable;
