//! The layer between two processes, side by side with what else could carry its messages.
//!
//! ```text
//! cargo bench -p asgi-ipc --bench processes
//! cargo bench -p asgi-ipc --bench processes -- throughput
//! ```
//!
//! Measured in turn, several times, in one run:
//!
//! * `latency`: half a round trip of 100 bytes between two processes that sleep until it comes,
//!   beside the same over a Unix stream socket with blocking calls;
//! * `throughput`: messages of 100 bytes from one process to another, over a normal and over a
//!   process-specific channel, beside frames with a length in front over a Unix stream socket.
//!   Both sides hand over one message at a time, as each is to be there when it is sent: the layer
//!   in one `send`, the socket in one `write` of a buffer that is used again. The layer's receiver
//!   takes one message at a time too, the socket's reads up to 64 KiB at once. The frames are
//!   measured twice: with the same messages, made, encoded and decoded as those of the layer are,
//!   and with 100 bytes that nobody looks into, for which a layer of maps has no like;
//! * `others`: the same over a normal channel beside the Redis layer of this workspace and Python's
//!   `asgi_ipc` 1.4.2;
//! * `pending`: a send and a receive with 0 to 100,000 messages waiting in the channel, beside
//!   Python's `asgi_ipc` with 0 and 1,000.
//!
//! Latency and throughput with both processes on one processor and on two: waking a process on
//! another processor may cost ten times as much, and the kernel does not put all programs alike.
//!
//! Needs `redis-server`, and Python 3.11 with `venv` and a C compiler for the Python original,
//! which is installed with `pip` the first time.

mod children;
mod floor;
mod layers;
mod original;
mod redis;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::Path;

use children::Place;
use floor::Frames;
use layers::{NORMAL, PROCESS_SPECIFIC};
use original::Original;
use redis::Redis;
use support::Segments;

/// Bytes in a message.
const SIZE: usize = 100;
const ROUNDS: usize = 5;

fn main() {
    if let Some(child) = children::Child::of_environment() {
        return child.run();
    }
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let is_wanted = |what: &str| wanted.is_empty() || wanted.iter().any(|word| word == what);
    let segments = Segments::new();
    let directory = segments.path();
    if is_wanted("latency") {
        latency(directory);
    }
    if is_wanted("throughput") {
        throughput(directory);
    }
    if is_wanted("others") {
        others(directory);
    }
    if is_wanted("pending") {
        pending(directory);
    }
}

fn latency(directory: &Path) {
    for place in Place::both(directory) {
        let (mut socket, mut layer) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            socket.push(floor::latency(&place));
            layer.push(layers::latency(&place));
        }
        let (socket, layer) = (median(&mut socket), median(&mut layer));
        println!(
            "{}: one way to a sleeping process, p50: {layer:.1} µs; Unix socket {socket:.1} µs; \
             {:.2} times (at most 2)",
            place.name,
            layer / socket
        );
    }
}

fn throughput(directory: &Path) {
    for place in Place::both(directory) {
        let (mut opaque, mut messages) = (Vec::new(), Vec::new());
        let (mut normal, mut specific) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            opaque.push(floor::throughput(&place, Frames::Opaque));
            normal.push(layers::throughput(&place, "ipc", NORMAL));
            messages.push(floor::throughput(&place, Frames::Messages));
            specific.push(layers::throughput(&place, "ipc", PROCESS_SPECIFIC));
        }
        let (opaque, messages) = (median(&mut opaque), median(&mut messages));
        for (kind, rates) in [("normal", &mut normal), ("process-specific", &mut specific)] {
            let layer = median(rates);
            println!(
                "{}: messages of {SIZE} bytes per second over a {kind} channel: {layer:.0}; the \
                 same messages over a Unix socket {messages:.0}: {:.2} times (at least 2); frames \
                 that nobody looks into {opaque:.0}: {:.2} times",
                place.name,
                layer / messages,
                layer / opaque,
            );
        }
    }
}

fn others(directory: &Path) {
    let redis = Redis::start(directory);
    let original = Original::install();
    for place in Place::both(directory) {
        let (mut layer, mut over_redis, mut python) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            layer.push(layers::throughput(&place, "ipc", NORMAL));
            over_redis.push(layers::throughput(&place, redis.url(), NORMAL));
            python.push(original.throughput(&place));
        }
        let layer = median(&mut layer);
        let (redis, python) = (median(&mut over_redis), median(&mut python));
        println!(
            "{}: messages of {SIZE} bytes per second over a normal channel: {layer:.0}; asgi-redis \
             {redis:.0}: {:.1} times (at least 5); Python {python:.0}: {:.0} times",
            place.name,
            layer / redis,
            layer / python,
        );
    }
}

fn pending(directory: &Path) {
    let original = Original::install();
    let place = Place::one(directory);
    let mut base = None;
    layers::pending(&place, |waiting, cost| {
        let base = *base.get_or_insert(cost);
        let python = match waiting {
            0 | 1_000 => {
                let python = original.pairs(&place, waiting);
                format!("; Python {python:.0} ns: {:.0} times", python / cost)
            }
            _ => String::new(),
        };
        println!(
            "send and receive with {waiting} waiting: {cost:.0} ns; {:.2} times what it is with \
             none (at most 1.5){python}",
            cost / base
        );
    });
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
