//! WebSockets through the server: frames at one end, messages at the other.

#[path = "../support/mod.rs"]
mod support;

mod closing;
mod data;
mod flow;
mod handshake;
mod protocol;
mod timers;
