//! What our processes do; `peer.py` does the same in Python.

use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, ChannelName, GroupName, Message, message};
use axum::routing::get;
use channels::management::{RunworkerOptions, runworker, shutdown_signal};
use channels::{Application, Router};
use daphne::Server;
use futures_util::future::try_join_all;
use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Outcome;
use crate::peer::Done;

/// How long a receiver waits for one more message, as Python's does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs until standard input or the process ends.
pub(crate) fn run(role: &str, arguments: &[String]) -> Outcome {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    match (role, arguments) {
        ("daphne", [url, port]) => runtime.block_on(daphne(url, port.parse()?)),
        ("worker", [url]) => runtime.block_on(worker(url)),
        (role, [url, count, at_once]) => {
            let count = count.parse()?;
            let layer = RedisChannelLayer::builder()
                .host(url)
                .capacity(10 * count)
                .build()?;
            let peer = Peer {
                layer,
                count,
                at_once: at_once.parse()?,
            };
            for line in std::io::stdin().lock().lines() {
                line?;
                let Done { at, messages } = runtime.block_on(peer.perform(role))?;
                writeln!(std::io::stdout(), "{at:.6} {messages}")?;
            }
            Ok(())
        }
        _ => Err(format!("no role {role} with {} arguments", arguments.len()).into()),
    }
}

struct Peer {
    layer: RedisChannelLayer,
    count: usize,
    at_once: usize,
}

impl Peer {
    async fn perform(&self, role: &str) -> Outcome<Done> {
        match role {
            "join" => self.join().await,
            "send" => self.send().await,
            "receive" => self.receive("pairs").await,
            "both" => self.both().await,
            "send-group" => self.send_group().await,
            "receive-group" => self.receive("daphne.response.AbCdEf!").await,
            other => Err(format!("no role {other}").into()),
        }
    }

    async fn join(&self) -> Outcome<Done> {
        let groups = self.layer.as_groups().ok_or("no groups")?;
        let group = GroupName::new("crowd")?;
        let begin = now();
        let joining = (0..self.count).map(|member| {
            let channel = ChannelName::new(format!("daphne.response.AbCdEf!{member:010}"));
            let group = &group;
            async move { groups.group_add(group, &channel?).await }
        });
        try_join_all(joining).await?;
        Ok(self.began(begin))
    }

    async fn send(&self) -> Outcome<Done> {
        let channel = ChannelName::new("pairs")?;
        let begin = now();
        let mut tasks = JoinSet::new();
        for task in 0..self.at_once {
            let share = share(self.count, self.at_once, task);
            tasks.spawn(send(self.layer.clone(), channel.clone(), share));
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(self.began(begin))
    }

    async fn both(&self) -> Outcome<Done> {
        let channel = ChannelName::new("both")?;
        let begin = now();
        let mut tasks = JoinSet::new();
        for task in 0..self.at_once {
            let share = share(self.count, self.at_once, task);
            tasks.spawn(send_and_take(self.layer.clone(), channel.clone(), share));
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(self.began(now() - begin))
    }

    async fn send_group(&self) -> Outcome<Done> {
        let groups = self.layer.as_groups().ok_or("no groups")?;
        let group = GroupName::new("crowd")?;
        let begin = now();
        groups.send_group(&group, content()).await?;
        Ok(self.began(begin))
    }

    /// Ends with the last message, or when none has come for a while.
    async fn receive(&self, channel: &str) -> Outcome<Done> {
        let channels: Arc<[ChannelName]> = Arc::new([ChannelName::new(channel.to_owned())?]);
        let taken = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..self.at_once {
            let (layer, channels) = (self.layer.clone(), Arc::clone(&channels));
            tasks.spawn(take(layer, channels, Arc::clone(&taken), self.count));
        }
        // The first to end has the last message; the others wait in vain, and are dropped.
        let ended = tasks.join_next().await.ok_or("no receivers")?;
        let at = ended??;
        Ok(Done {
            at,
            messages: taken.load(Ordering::Relaxed),
        })
    }

    const fn began(&self, at: f64) -> Done {
        Done {
            at,
            messages: self.count,
        }
    }
}

async fn send(layer: RedisChannelLayer, channel: ChannelName, count: usize) -> asgiref::Result<()> {
    for _ in 0..count {
        layer.send(&channel, content()).await?;
    }
    Ok(())
}

async fn send_and_take(
    layer: RedisChannelLayer,
    channel: ChannelName,
    count: usize,
) -> asgiref::Result<()> {
    let channels = [channel.clone()];
    for _ in 0..count {
        layer.send(&channel, content()).await?;
        layer.receive(&channels).await?;
    }
    Ok(())
}

/// Receives until `count` are `taken` by all; returns when that was, or when the latest came.
async fn take(
    layer: RedisChannelLayer,
    channels: Arc<[ChannelName]>,
    taken: Arc<AtomicUsize>,
    count: usize,
) -> asgiref::Result<f64> {
    let mut last = now();
    while let Ok(received) = timeout(PATIENCE, layer.receive(&channels)).await {
        received?;
        last = now();
        if taken.fetch_add(1, Ordering::Relaxed) + 1 == count {
            break;
        }
    }
    Ok(last)
}

fn content() -> Message {
    message! { "text" => "x".repeat(64) }
}

/// How many of `count` are for one of `tasks`.
const fn share(count: usize, tasks: usize, task: usize) -> usize {
    count / tasks + (task < count % tasks) as usize
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64())
}

async fn daphne(url: &str, port: u16) -> Outcome {
    let layer = Arc::new(RedisChannelLayer::from_url(url)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let server = Server::builder(layer).listener(listener).build()?;
    Ok(server.run(shutdown_signal()?).await?)
}

async fn worker(url: &str) -> Outcome {
    let layer = Arc::new(RedisChannelLayer::from_url(url)?);
    let application = Application::builder()
        .layer("default", layer)
        .router(Router::new())
        .http(axum::Router::new().route("/hello", get(async || "Hello world!")))
        .build()?;
    Ok(runworker(&application, RunworkerOptions::new(), shutdown_signal()?).await?)
}
