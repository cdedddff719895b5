//! The application behind the channel layer, played by the test.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, ChannelName, Error, Message};
use tokio::task::JoinHandle;

use super::within;

/// Every channel a protocol server for HTTP and WebSocket sends to, body channels aside.
pub const CHANNELS: [&str; 5] = [
    "http.request",
    "http.disconnect",
    "websocket.connect",
    "websocket.receive",
    "websocket.disconnect",
];

/// Receives what the server sends, and replies.
#[derive(Clone, Debug)]
pub struct App {
    layer: Arc<dyn ChannelLayer>,
}

/// A request body, put together from the message and its body channel.
#[derive(Debug, Default)]
pub struct Upload {
    pub content: Vec<u8>,
    /// How many messages came over the body channel.
    pub chunks: usize,
    /// The size in bytes of the largest part, the one in the request itself included.
    pub largest: usize,
    /// Whether the client left before the end.
    pub closed: bool,
}

/// Ends a background task when dropped.
#[derive(Debug)]
pub struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl App {
    pub fn new(layer: Arc<dyn ChannelLayer>) -> Self {
        Self { layer }
    }

    /// The next message on `channel`.
    #[track_caller]
    pub fn next(&self, channel: &str) -> impl Future<Output = Message> {
        let name = ChannelName::new(channel).expect("valid channel name");
        let what = format!("a message on {channel}");
        let layer = Arc::clone(&self.layer);
        within(what, async move {
            layer.receive(&[name]).await.expect("the layer works").1
        })
    }

    /// The next HTTP request.
    #[track_caller]
    pub fn request(&self) -> impl Future<Output = Message> {
        self.next("http.request")
    }

    /// Waits until `count` messages wait on `channel`.
    #[track_caller]
    pub fn expect_waiting(&self, channel: &str, count: usize) -> impl Future<Output = ()> {
        let name = ChannelName::new(channel).expect("valid channel name");
        let what = format!("{count} messages on {channel}");
        let layer = Arc::clone(&self.layer);
        within(what, async move {
            let statistics = layer.as_statistics().expect("the layer keeps statistics");
            loop {
                let now = statistics.channel_statistics(&name).await;
                if now.expect("the layer works").messages_pending == count as u64 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    /// What waits in all channels of [`CHANNELS`], with the channels' names.
    pub async fn pending(&self) -> Vec<(String, Message)> {
        let names = CHANNELS.map(|name| ChannelName::new(name).expect("valid channel name"));
        let mut found = Vec::new();
        while let Some((channel, message)) =
            self.layer.try_receive(&names).await.expect("layer works")
        {
            found.push((channel.to_string(), message));
        }
        found
    }

    /// Sends `reply` on the reply channel of `message`; waits while that channel is full, as
    /// applications do.
    pub async fn reply(&self, message: &Message, reply: Message) {
        let channel = message.channel("reply_channel").expect("a reply channel");
        self.reply_on(&channel, reply).await;
    }

    pub async fn reply_on(&self, channel: &ChannelName, reply: Message) {
        within("room on the reply channel", async {
            while let Err(error) = self.layer.send(channel, reply.clone()).await {
                assert!(error.is_channel_full(), "reply failed: {error}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// As [`reply`](Self::reply), but says at once whether the channel was full.
    pub async fn try_reply(&self, message: &Message, reply: Message) -> Result<(), Error> {
        let channel = message.channel("reply_channel").expect("a reply channel");
        self.layer.send(&channel, reply).await
    }

    /// The next message on the body channel of `request`.
    #[track_caller]
    pub fn chunk(&self, request: &Message) -> impl Future<Output = Message> {
        let channel = request.text("body_channel").expect("a body channel");
        self.next(channel)
    }

    /// The whole body of `request`, or as much as came before the client left.
    pub async fn upload(&self, request: &Message) -> Upload {
        let mut upload = Upload::default();
        if let Some(start) = request.opt_bytes("body").expect("body is bytes") {
            upload.content.extend_from_slice(start);
            upload.largest = start.len();
        }
        if request.opt_text("body_channel").expect("text").is_none() {
            return upload;
        }
        loop {
            let chunk = self.chunk(request).await;
            upload.chunks += 1;
            upload.closed = chunk.opt_bool("closed").expect("bool").unwrap_or(false);
            if let Some(content) = chunk.opt_bytes("content").expect("bytes") {
                upload.content.extend_from_slice(content);
                upload.largest = upload.largest.max(content.len());
            }
            let more = chunk
                .opt_bool("more_content")
                .expect("bool")
                .unwrap_or(false);
            if upload.closed || !more {
                return upload;
            }
        }
    }

    /// Has `answer` take care of every HTTP request, each in a task of its own.
    pub fn serve<F, Fut>(&self, answer: F) -> Serving
    where
        F: Fn(Self, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.consume(["http.request"], move |app, _, message| {
            tokio::spawn(answer(app, message));
            std::future::ready(())
        })
    }

    /// Has `consumer` take care of every message on `channels`, one after the other.
    pub fn consume<const N: usize, F, Fut>(&self, channels: [&str; N], consumer: F) -> Serving
    where
        F: Fn(Self, ChannelName, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let app = self.clone();
        let names = channels.map(|name| ChannelName::new(name).expect("valid channel name"));
        Serving(tokio::spawn(async move {
            loop {
                let (channel, message) = app.layer.receive(&names).await.expect("layer works");
                consumer(app.clone(), channel, message).await;
            }
        }))
    }
}
