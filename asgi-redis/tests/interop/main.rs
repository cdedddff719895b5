//! Together with the Python original on the same servers, in both directions.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../../conformance/support/interop/mod.rs"]
mod interop;

mod capacity;
mod groups;
mod maintenance;
mod names;
mod sentinels;
mod sharding;
