//! Connections to the broker and how they are restored.

mod address;
mod lane;
mod options;
mod session;
mod supervisor;

pub(crate) use address::{Address, check};
pub(crate) use options::ConnectionOptions;
pub(crate) use session::{Session, Side};
pub(crate) use supervisor::{Broker, OnConnect};
