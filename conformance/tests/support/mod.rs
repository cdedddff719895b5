//! A second, simple layer: right without a fault, and wrong in one way with one.

mod distort;
mod extensions;
mod fault;
mod members;
mod model;
mod state;

pub(crate) use fault::Fault;
pub(crate) use model::{CAPACITY, EXPIRY, Model};
