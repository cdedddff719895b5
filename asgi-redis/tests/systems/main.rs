//! Protocol servers and workers, ours and the Python originals', in processes of their own.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod mixed;
mod outage;
mod program;
mod readers;
mod restart;
mod site;
