//! The layer between two processes, beside the least that two processes can do with a Unix socket.
//!
//! ```text
//! cargo bench -p asgi-ipc --bench processes
//! ```
//!
//! Three figures, each with what it is to be compared with, measured in turn in one run:
//!
//! * latency: half a round trip of 100 bytes between two processes that sleep until it comes,
//!   beside the same over a Unix stream socket with blocking calls;
//! * throughput: messages of 100 bytes from one process to another, beside the same messages as
//!   frames with a length in front over a Unix stream socket, one write for each, buffered reads;
//! * the cost of a send and a receive with 0 to 100,000 messages waiting in the channel.
//!
//! The first two with both processes on one processor and on two: waking a process on another
//! processor may cost ten times as much, and the kernel does not put all programs alike.

use std::io::{BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use asgi_ipc::IpcChannelLayer;
use asgiref::codec::Codec;
use asgiref::{ChannelLayer as _, ChannelName, Message, message};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

const ROLE: &str = "ASGI_IPC_BENCH_ROLE";
const DIRECTORY: &str = "ASGI_IPC_BENCH_DIRECTORY";
const PROCESSOR: &str = "ASGI_IPC_BENCH_PROCESSOR";

const SIZE: usize = 100;
const ROUND_TRIPS: usize = 20_000;
const MESSAGES: usize = 1_000_000;
const ROUNDS: usize = 5;

const PING: ChannelName = ChannelName::from_static("ping");
const PONG: ChannelName = ChannelName::from_static("pong!");

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        let directory = PathBuf::from(std::env::var_os(DIRECTORY).expect("given with the role"));
        let processor = std::env::var(PROCESSOR).expect("given with the role");
        let processor = processor.parse().expect("a number");
        let place = Place {
            directory: &directory,
            processors: [processor; 2],
        };
        place.pin(1);
        return child(&role, &directory);
    }
    let directory = tempfile::Builder::new()
        .prefix("asgi-ipc-bench-")
        .tempdir_in(memory())
        .expect("a directory in memory");
    let directory = directory.path();
    for (where_, processors) in [("one processor", [0, 0]), ("two processors", [0, 1])] {
        let mut latency = Compared::default();
        let mut throughput = Compared::default();
        let place = Place {
            directory,
            processors,
        };
        place.pin(0);
        for _ in 0..ROUNDS {
            latency.socket.push(socket_latency(place));
            latency.layer.push(layer_latency(place));
            throughput.socket.push(socket_throughput(place));
            throughput.layer.push(layer_throughput(place));
        }
        let (socket, layer) = latency.medians();
        println!(
            "{where_}: one way to a sleeping process, p50: {layer:.1} µs; Unix socket \
             {socket:.1} µs; {:.2} times",
            layer / socket
        );
        let (socket, layer) = throughput.medians();
        println!(
            "{where_}: messages of {SIZE} bytes per second: {layer:.0}; Unix socket \
             {socket:.0}; {:.2} times",
            layer / socket
        );
    }
    pending(directory);
}

/// Where a measurement is made.
#[derive(Clone, Copy)]
struct Place<'a> {
    directory: &'a Path,
    /// Of this process and of the other one.
    processors: [usize; 2],
}

impl Place<'_> {
    /// Keeps this process, as the `which`th of the two, to its processor.
    fn pin(self, which: usize) {
        let mut set = CpuSet::new();
        set.set(self.processors[which]);
        sched_setaffinity(None, &set).expect("there is such a processor");
    }
}

/// Figures of several rounds.
#[derive(Default)]
struct Compared {
    socket: Vec<f64>,
    layer: Vec<f64>,
}

impl Compared {
    fn medians(mut self) -> (f64, f64) {
        (median(&mut self.socket), median(&mut self.layer))
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn memory() -> PathBuf {
    asgi_ipc::inspect::default_directory()
}

fn layer(directory: &Path) -> IpcChannelLayer {
    let layer = IpcChannelLayer::builder()
        .directory(directory)
        .prefix("bench")
        .message_memory(128 << 20)
        .capacity(200_000)
        .expiry(Duration::from_secs(600))
        .build();
    layer.expect("a segment")
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

fn content() -> Message {
    message! { "content" => vec![7u8; SIZE - 12] }
}

/// Starts the other process, which connects to the socket that is returned.
fn start(role: &str, place: Place<'_>) -> (Child, UnixStream) {
    let socket = place.directory.join(format!("socket.{role}"));
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).expect("a socket in a directory of our own");
    let child = Command::new(std::env::current_exe().expect("this program"))
        .env(ROLE, role)
        .env(DIRECTORY, place.directory)
        .env(PROCESSOR, place.processors[1].to_string())
        .spawn()
        .expect("this program again");
    let (stream, _) = listener.accept().expect("the child connects");
    (child, stream)
}

fn child(role: &str, directory: &Path) {
    let socket = directory.join(format!("socket.{role}"));
    let mut parent = UnixStream::connect(socket).expect("the parent listens");
    match role {
        "socket-echo" => {
            let mut frame = [0; SIZE];
            while parent.read_exact(&mut frame).is_ok() && parent.write_all(&frame).is_ok() {}
        }
        "socket-sink" => {
            let codec = Codec::new();
            let mut reader = BufReader::with_capacity(64 << 10, &parent);
            for _ in 0..MESSAGES {
                let mut length = [0; 4];
                reader.read_exact(&mut length).expect("a length");
                let mut frame = vec![0; u32::from_le_bytes(length) as usize];
                reader.read_exact(&mut frame).expect("a frame");
                let message = codec.decode(frame.into()).expect("a message");
                std::hint::black_box(message);
            }
            parent.write_all(b"x").expect("the parent reads");
        }
        "layer-echo" => runtime().block_on(async {
            let layer = layer(directory);
            parent.write_all(b"x").expect("the parent reads");
            let reply = PONG.with_local_part("x").expect("valid");
            for _ in 0..ROUND_TRIPS {
                let (_, message) = layer.receive(&[PING]).await.expect("a message");
                layer.send(&reply, message).await.expect("sent");
            }
        }),
        "layer-sink" => runtime().block_on(async {
            let layer = layer(directory);
            parent.write_all(b"x").expect("the parent reads");
            for _ in 0..MESSAGES {
                let received = layer.receive(&[PING]).await.expect("a message");
                std::hint::black_box(received);
            }
            parent.write_all(b"x").expect("the parent reads");
        }),
        other => panic!("no role is called {other}"),
    }
}

/// Microseconds.
fn socket_latency(place: Place<'_>) -> f64 {
    let (mut child, mut stream) = start("socket-echo", place);
    let mut frame = [7; SIZE];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        stream.write_all(&frame).expect("the child reads");
        stream.read_exact(&mut frame).expect("the child writes");
        times.push(start.elapsed().as_secs_f64() * 1e6 / 2.0);
    }
    drop(stream);
    child.wait().expect("the child is ours");
    median(&mut times)
}

/// Microseconds.
fn layer_latency(place: Place<'_>) -> f64 {
    let (mut child, mut stream) = start("layer-echo", place);
    stream.read_exact(&mut [0]).expect("the child is ready");
    let mut times = runtime().block_on(async {
        let layer = layer(place.directory);
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            let start = Instant::now();
            layer.send(&PING, content()).await.expect("sent");
            layer.receive(&[PONG]).await.expect("a message");
            times.push(start.elapsed().as_secs_f64() * 1e6 / 2.0);
        }
        times
    });
    child.wait().expect("the child is ours");
    median(&mut times)
}

/// Messages per second.
fn socket_throughput(place: Place<'_>) -> f64 {
    let (mut child, mut stream) = start("socket-sink", place);
    let codec = Codec::new();
    let start = Instant::now();
    for _ in 0..MESSAGES {
        let message = codec.encode(&content()).expect("it is small");
        let mut frame = Vec::with_capacity(message.len() + 4);
        frame.extend_from_slice(&(message.len() as u32).to_le_bytes());
        frame.extend_from_slice(&message);
        stream.write_all(&frame).expect("the child reads");
    }
    stream.read_exact(&mut [0]).expect("the child has all");
    let rate = MESSAGES as f64 / start.elapsed().as_secs_f64();
    child.wait().expect("the child is ours");
    rate
}

/// Messages per second.
fn layer_throughput(place: Place<'_>) -> f64 {
    let (mut child, mut stream) = start("layer-sink", place);
    stream.read_exact(&mut [0]).expect("the child is ready");
    let start = Instant::now();
    runtime().block_on(async {
        let layer = layer(place.directory);
        for _ in 0..MESSAGES {
            while let Err(error) = layer.send(&PING, content()).await {
                assert!(error.is_channel_full(), "{error:?}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    stream.read_exact(&mut [0]).expect("the child has all");
    let rate = MESSAGES as f64 / start.elapsed().as_secs_f64();
    child.wait().expect("the child is ours");
    rate
}

fn pending(directory: &Path) {
    const PAIRS: usize = 200_000;
    runtime().block_on(async {
        let layer = layer(directory);
        let mut first = None;
        let mut waiting = 0;
        for target in [0, 100, 1_000, 10_000, 100_000] {
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
            let cost = median(&mut rounds);
            let base = *first.get_or_insert(cost);
            println!(
                "send and receive with {target} waiting: {cost:.0} ns; {:.2} times",
                cost / base
            );
        }
    });
}
