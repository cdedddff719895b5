//! What a worker does with messages, errors and being told to stop.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod common;
mod concurrency;
mod later;
mod recorded;
mod settings;
mod stopping;
mod survival;
