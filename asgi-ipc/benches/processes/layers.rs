//! What is measured of a channel layer.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asgi_ipc::IpcChannelLayer;
use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer, ChannelName, Message, message};
use tokio::runtime::{Builder, Runtime};

use crate::children::{Child, Place};
use crate::{ROUNDS, SIZE, median};

pub(crate) const ROUND_TRIPS: usize = 20_000;
pub(crate) const MESSAGES: usize = 1_000_000;
/// For a layer that takes ten times as long.
const MESSAGES_OVER_A_SERVER: usize = 100_000;
const PAIRS: usize = 200_000;
/// A sender that is faster than the receiver finds the channel full and waits, as one that writes
/// to a socket does. Memory of so many messages fits into a cache.
const CAPACITY: usize = 10_000;
/// How long it waits: less than a receiver has to do then.
const PAUSE: Duration = Duration::from_millis(1);

const PING: ChannelName = ChannelName::from_static("ping");
const PONG: ChannelName = ChannelName::from_static("pong!");

pub(crate) const NORMAL: &str = "work";
pub(crate) const PROCESS_SPECIFIC: &str = "replies!";

pub(crate) fn content() -> Message {
    message! { "content" => vec![7u8; SIZE - 12] }
}

/// Microseconds.
pub(crate) fn latency(place: &Place<'_>) -> f64 {
    let mut other = place.start("layer-echo", "ipc", "");
    other.is_ready();
    let mut times = runtime().block_on(async {
        let layer = open(place.directory, "ipc", CAPACITY);
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            let start = Instant::now();
            layer.send(&PING, content()).await.expect("sent");
            layer.receive(&[PONG]).await.expect("a message");
            times.push(start.elapsed().as_secs_f64() * 1e6 / 2.0);
        }
        times
    });
    median(&mut times)
}

/// Messages per second from this process to the other one.
pub(crate) fn throughput(place: &Place<'_>, layer: &str, channel: &str) -> f64 {
    let mut other = place.start("layer-sink", layer, channel);
    other.is_ready();
    let to = ChannelName::new(match channel {
        PROCESS_SPECIFIC => "replies!x",
        channel => channel,
    });
    let to = to.expect("valid");
    let messages = messages(layer);
    let runtime = runtime();
    let layer = runtime.block_on(async { open(place.directory, layer, CAPACITY) });
    let start = Instant::now();
    runtime.block_on(async {
        for _ in 0..messages {
            while let Err(error) = layer.send(&to, content()).await {
                assert!(error.is_channel_full(), "{error:?}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    });
    other.is_ready();
    messages as f64 / start.elapsed().as_secs_f64()
}

/// Nanoseconds for a send and a receive, for each number of messages that wait.
pub(crate) fn pending(place: &Place<'_>, mut report: impl FnMut(usize, f64)) {
    let runtime = runtime();
    let layer = runtime.block_on(async { open(place.directory, "ipc", 200_000) });
    let mut waiting = 0;
    for target in [0, 100, 1_000, 10_000, 100_000] {
        let cost = runtime.block_on(async {
            while waiting < target {
                layer.send(&PING, content()).await.expect("sent");
                waiting += 1;
            }
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                let start = Instant::now();
                for _ in 0..PAIRS {
                    layer.send(&PING, content()).await.expect("sent");
                    layer.try_receive(&[PING]).await.expect("a message");
                }
                rounds.push(start.elapsed().as_secs_f64() * 1e9 / PAIRS as f64);
            }
            median(&mut rounds)
        });
        report(target, cost);
    }
}

pub(crate) fn echo(mut child: Child) {
    runtime().block_on(async {
        let layer = open(&child.directory, &child.layer, CAPACITY);
        child.parent.write_all(b"x").expect("the parent reads");
        let reply = PONG.with_local_part("x").expect("valid");
        for _ in 0..ROUND_TRIPS {
            let (_, message) = layer.receive(&[PING]).await.expect("a message");
            layer.send(&reply, message).await.expect("sent");
        }
    });
}

pub(crate) fn sink(mut child: Child) {
    runtime().block_on(async {
        let layer = open(&child.directory, &child.layer, CAPACITY);
        child.parent.write_all(b"x").expect("the parent reads");
        let channels = [ChannelName::new(child.channel).expect("valid")];
        for _ in 0..messages(&child.layer) {
            let received = layer.receive(&channels).await.expect("a message");
            std::hint::black_box(received);
        }
        child.parent.write_all(b"x").expect("the parent reads");
    });
}

fn messages(layer: &str) -> usize {
    if layer == "ipc" {
        MESSAGES
    } else {
        MESSAGES_OVER_A_SERVER
    }
}

fn open(directory: &Path, layer: &str, capacity: usize) -> Arc<dyn ChannelLayer> {
    if layer == "ipc" {
        let layer = IpcChannelLayer::builder()
            .directory(directory)
            .prefix("bench")
            .message_memory(128 << 20)
            .capacity(capacity)
            .expiry(Duration::from_secs(600))
            .build();
        Arc::new(layer.expect("a segment"))
    } else {
        let layer = RedisChannelLayer::builder()
            .host(layer)
            .capacity(capacity)
            .expiry(Duration::from_secs(600))
            .build();
        Arc::new(layer.expect("a Redis server"))
    }
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}
