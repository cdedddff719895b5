//! Sending with a limit to how long it waits for room.

use std::time::Duration;

use asgiref::{
    ChannelLayer as _, ChannelLayerExt as _, ChannelName, InMemoryChannelLayer, LayerConfig,
    message,
};
use tokio::time::Instant;

const A: ChannelName = ChannelName::from_static("a");
const LIMIT: Duration = Duration::from_secs(2);

async fn full_layer() -> InMemoryChannelLayer {
    let layer = InMemoryChannelLayer::with_config(LayerConfig::new().capacity(1));
    layer.send(&A, message! { "number" => 1 }).await.unwrap();
    layer
}

#[tokio::test(start_paused = true)]
async fn a_full_channel_is_tried_until_there_is_room() {
    let layer = full_layer().await;
    let reader = layer.clone();
    let started = Instant::now();
    let reading = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        reader.receive(&[A]).await
    });
    let second = message! { "number" => 2 };
    layer.send_within(&A, second.clone(), LIMIT).await.unwrap();
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_secs(1) && waited < LIMIT,
        "{waited:?}"
    );
    reading.await.unwrap().unwrap();
    assert_eq!(layer.receive(&[A]).await.unwrap().1, second);
    assert_eq!(layer.try_receive(&[A]).await.unwrap(), None, "sent once");
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_when_the_limit_is_over() {
    let layer = full_layer().await;
    for limit in [LIMIT, Duration::ZERO] {
        let started = Instant::now();
        let sent = layer.send_within(&A, message! {}, limit).await;
        assert!(sent.unwrap_err().is_channel_full());
        let waited = started.elapsed();
        assert!(
            waited >= limit && waited <= limit + Duration::from_millis(2),
            "{waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn other_errors_come_at_once() {
    let layer = InMemoryChannelLayer::new();
    let started = Instant::now();
    let closed = Failing(layer);
    let sent = closed.send_within(&A, message! {}, LIMIT).await;
    assert!(matches!(sent, Err(asgiref::Error::Backend { .. })));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

/// A layer whose transport is broken.
#[derive(Debug)]
struct Failing(InMemoryChannelLayer);

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failing")
    }
}

#[asgiref::async_trait]
impl asgiref::ChannelLayer for Failing {
    async fn send(&self, _: &ChannelName, _: asgiref::Message) -> asgiref::Result<()> {
        Err(asgiref::Error::backend(
            "failing",
            "the transport is broken",
        ))
    }

    async fn receive(
        &self,
        channels: &[ChannelName],
    ) -> asgiref::Result<(ChannelName, asgiref::Message)> {
        self.0.receive(channels).await
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> asgiref::Result<Option<(ChannelName, asgiref::Message)>> {
        self.0.try_receive(channels).await
    }

    async fn new_channel(&self, pattern: &asgiref::ChannelPattern) -> asgiref::Result<ChannelName> {
        self.0.new_channel(pattern).await
    }
}
