//! What the layer costs beside Redis itself, on a server of its own on this machine.
//!
//! ```text
//! cargo bench -p asgi-redis
//! ```
//!
//! * pairs: messages sent and received per second, and what `redis-benchmark` reaches with the same
//!   scripts and the same number of them under way;
//! * hop: from `send` until a waiting `receive` has the message, and a bare `PING`;
//! * group: one message to 10,000 members at one process, until the last has it.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, ChannelName, GroupName, message};
use sha1::{Digest as _, Sha1};

#[path = "../tests/support/mod.rs"]
mod support;

use support::server::RedisServer;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How many messages are under way at once.
const CONCURRENCY: usize = 800;

const MESSAGES: usize = 200_000;

const HOPS: usize = 5_000;

const MEMBERS: usize = 10_000;

/// The text of each message, in bytes.
const SIZE: usize = 64;

fn main() -> Outcome {
    // `cargo test` runs benchmarks to see that they start; this one takes a while.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let server = RedisServer::start();
    runtime.block_on(async {
        let ours = pairs(&server).await?;
        let theirs = redis_alone(&server)?;
        println!(
            "pairs: {ours:.0} per second; redis-benchmark with the same scripts {theirs:.0}; \
             ratio {:.2}",
            ours / theirs
        );
        Outcome::Ok(())
    })?;
    // One thread: waking another one would be most of what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for pace in [Pace::Busy, Pace::Idle] {
            let (hop, ping) = hop(&server, pace).await?;
            println!(
                "hop, {pace:?}: median {hop:?}; PING {ping:?}; ratio {:.1}",
                ratio(hop, ping)
            );
        }
        let (sent, received) = group(&server).await?;
        println!("group of {MEMBERS}: sent in {sent:?}, all received after {received:?}");
        Ok(())
    })
}

fn layer(server: &RedisServer) -> asgiref::Result<RedisChannelLayer> {
    RedisChannelLayer::builder()
        .host(server.url())
        .capacity(10 * MESSAGES)
        .build()
}

/// Senders and receivers with connections of their own.
async fn pairs(server: &RedisServer) -> Outcome<f64> {
    let (sender, receiver) = (layer(server)?, layer(server)?);
    let channel = ChannelName::new("pairs")?;
    let each = MESSAGES / CONCURRENCY;
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONCURRENCY {
        let (layer, channel) = (sender.clone(), channel.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..each {
                let message = message! { "text" => "x".repeat(SIZE) };
                layer.send(&channel, message).await?;
            }
            Ok(Instant::now())
        }));
        let channels = channel_list("pairs")?;
        tasks.push(tokio::spawn(take(receiver.clone(), channels, each)));
    }
    for task in tasks {
        task.await??;
    }
    Ok((each * CONCURRENCY) as f64 / begin.elapsed().as_secs_f64())
}

/// The scripts of a send and of a receive of one message, by Redis' own load generator.
fn redis_alone(server: &RedisServer) -> Outcome<f64> {
    const COMMON: &str = include_str!("../src/lua/common.lua");
    let send = load(
        server,
        &[COMMON, include_str!("../src/lua/send.lua")].concat(),
    );
    let take = load(
        server,
        &[COMMON, include_str!("../src/lua/take.lua")].concat(),
    );
    let body = "x".repeat(SIZE + 8);
    let capacity = (10 * MESSAGES).to_string();
    let arguments = [
        "asgi:alone",
        "asgi:",
        "60000",
        "asgi-meta:#global#:",
        &body,
        &capacity,
        "0000__rand_int__0000000",
        "asgi-meta:alone:",
        "1",
    ];
    let sends = benchmark(server, &send, &arguments)?;
    let arguments = ["asgi:alone", "1", "1", "1048576", "", "0"];
    let takes = benchmark(server, &take, &arguments)?;
    Ok(1.0 / (1.0 / sends + 1.0 / takes))
}

fn load(server: &RedisServer, text: &str) -> String {
    server.command(&["SCRIPT", "LOAD", text]);
    Sha1::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn benchmark(server: &RedisServer, script: &str, arguments: &[&str]) -> Outcome<f64> {
    let output = Command::new("redis-benchmark")
        .args(["-p", &server.port().to_string()])
        .args(["-c", "50", "-P", "16", "-r", "1000000000000", "--csv"])
        .args(["-n", &MESSAGES.to_string()])
        .args(["EVALSHA", script, "1"])
        .args(arguments)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().ok_or("redis-benchmark said nothing")?;
    let rate = line.rsplit("\",\"").nth(6).ok_or("a line of figures")?;
    Ok(rate.trim_matches('"').parse()?)
}

/// How long nothing happens between two hops.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// One follows the other.
    Busy,
    /// The processors have gone idle in between.
    Idle,
}

impl Pace {
    async fn pause(self) {
        match self {
            Self::Busy => {}
            Self::Idle => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn hop(server: &RedisServer, pace: Pace) -> Outcome<(Duration, Duration)> {
    let (sender, receiver) = (layer(server)?, layer(server)?);
    let channel = ChannelName::new("hop")?;
    let channels = channel_list("hop")?;
    let (arrived, mut arrivals) = tokio::sync::mpsc::channel(1);
    let receiving = tokio::spawn(async move {
        loop {
            let received = receiver.receive(&channels).await;
            if arrived
                .send(received.map(|_| Instant::now()))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    let mut ping = Ping::new(server)?;
    let (mut hops, mut pings) = (Vec::with_capacity(HOPS), Vec::with_capacity(HOPS));
    for round in 0..HOPS + 100 {
        pace.pause().await;
        let begin = Instant::now();
        sender
            .send(&channel, message! { "round" => round as i64 })
            .await?;
        let end = arrivals.recv().await.ok_or("the receiver ended")??;
        pace.pause().await;
        let pong = ping.call()?;
        if round >= 100 {
            hops.push(end - begin);
            pings.push(pong);
        }
    }
    receiving.abort();
    Ok((median(hops), median(pings)))
}

/// A bare round trip.
struct Ping(TcpStream);

impl Ping {
    fn new(server: &RedisServer) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", server.port()))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    fn call(&mut self) -> io::Result<Duration> {
        let mut reply = [0; 7];
        let begin = Instant::now();
        self.0.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        self.0.read_exact(&mut reply)?;
        Ok(begin.elapsed())
    }
}

async fn group(server: &RedisServer) -> Outcome<(Duration, Duration)> {
    let (sender, receiver) = (layer(server)?, layer(server)?);
    let groups = sender.as_groups().ok_or("groups")?;
    let group = GroupName::new("crowd")?;
    let channels = channel_list("daphne.response.AbCdEf!")?;
    let joining = (0..MEMBERS).map(|member| {
        let name = format!("daphne.response.AbCdEf!{member:010}");
        let group = &group;
        async move { groups.group_add(group, &ChannelName::new(name)?).await }
    });
    futures_util::future::try_join_all(joining).await?;
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..10 {
        let receiving = tokio::spawn(take(receiver.clone(), channels.clone(), MEMBERS));
        // Until it is known that the receiver reads envelopes.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begin = Instant::now();
        groups
            .send_group(&group, message! { "text" => "x".repeat(SIZE) })
            .await?;
        let sent = begin.elapsed();
        let received = receiving.await?? - begin;
        if received < best.1 {
            best = (sent, received);
        }
    }
    Ok(best)
}

/// Receives so many messages; returns when the last came.
async fn take(
    layer: RedisChannelLayer,
    channels: Arc<[ChannelName]>,
    messages: usize,
) -> asgiref::Result<Instant> {
    for _ in 0..messages {
        layer.receive(&channels).await?;
    }
    Ok(Instant::now())
}

fn channel_list(name: &str) -> asgiref::Result<Arc<[ChannelName]>> {
    Ok(Arc::new([ChannelName::new(name.to_owned())?]))
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
