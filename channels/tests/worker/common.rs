//! What the tests of the worker share.
#![allow(unreachable_pub, reason = "the modules of this program use it")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use asgiref::{ChannelLayer, ChannelName, ChannelPattern, InMemoryChannelLayer, Message, message};
use async_trait::async_trait;
use channels::{ConsumerError, Context, Outcome, Worker};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::name;

/// Far beyond anything these tests wait for.
pub const LONG: Duration = Duration::from_secs(3600);

pub fn failing() -> ConsumerError {
    ConsumerError::failed("it went wrong")
}

pub async fn later() -> Outcome {
    Err(ConsumerError::ConsumeLater)
}

pub async fn echo(cx: Context) -> Outcome {
    cx.reply(message! { "text" => cx.message().text("text")?.clone() });
    Ok(())
}

/// A worker that runs until it is told to stop.
pub struct Running {
    task: JoinHandle<channels::Result<()>>,
    stop: oneshot::Sender<()>,
}

impl Running {
    pub fn start(worker: &Worker) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = worker.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            worker.run(stopped).await
        });
        Self { task, stop }
    }

    pub async fn stop(self) -> channels::Result<()> {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}

/// The next message for the client; waits for it.
pub async fn next_reply(layer: &dyn ChannelLayer) -> Message {
    let channels = [name("client!")];
    let received = timeout(LONG, layer.receive(&channels)).await;
    received.expect("a reply").unwrap().1
}
/// A layer whose `receive` fails a number of times.
pub struct Failing {
    pub layer: InMemoryChannelLayer,
    failures: AtomicU32,
}

#[async_trait]
impl ChannelLayer for Failing {
    async fn send(&self, channel: &ChannelName, message: Message) -> asgiref::Result<()> {
        self.layer.send(channel, message).await
    }

    async fn receive(&self, channels: &[ChannelName]) -> asgiref::Result<(ChannelName, Message)> {
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(asgiref::Error::backend("failing", "the line is dead"));
        }
        self.layer.receive(channels).await
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> asgiref::Result<Option<(ChannelName, Message)>> {
        self.layer.try_receive(channels).await
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> asgiref::Result<ChannelName> {
        self.layer.new_channel(pattern).await
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

pub fn failing_layer(failures: u32) -> Arc<Failing> {
    Arc::new(Failing {
        layer: InMemoryChannelLayer::new(),
        failures: AtomicU32::new(failures),
    })
}

pub fn statuses(replies: &[Message]) -> Vec<i64> {
    replies
        .iter()
        .map(|reply| reply.int("status").unwrap())
        .collect()
}
