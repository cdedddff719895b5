//! What happens when something between the processes fails: traffic flows again within a bound,
//! nothing is delivered twice, and what is lost was on its way at that moment.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../../conformance/support/faults/network.rs"]
mod network;

mod clusters;
mod connections;
mod replies;
mod sentinels;
mod servers;
mod stage;
mod values;

use support::traffic;
