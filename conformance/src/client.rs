//! How cases speak to a layer: every call bounded, every failure in the words of the rule.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{
    ChannelKind, ChannelLayer, ChannelLayerExt as _, ChannelName, ChannelPattern,
    ChannelStatistics, Error, Extension, Flush, GlobalStatistics, GroupName, Groups, Message,
    Statistics,
};
use tokio::time::{sleep, timeout};

use crate::harness::Harness;
use crate::outcome::Skipped;

/// Pause between two looks at a layer that may have to be asked several times.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// One client of the layer under test.
pub(crate) struct Client<H> {
    layer: Arc<dyn ChannelLayer>,
    harness: PhantomData<fn() -> H>,
}

impl<H> Clone for Client<H> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.layer))
    }
}

/// The only client of a new layer.
pub(crate) async fn client<H: Harness>(h: &H) -> Client<H> {
    let layer = bounded::<H, _>("making the layer", h.layer()).await;
    Client::new(Arc::new(layer))
}

/// `N` clients of one new layer.
pub(crate) async fn clients<H: Harness, const N: usize>(h: &H) -> [Client<H>; N] {
    let layers = bounded::<H, _>("making clients of the layer", h.clients(N)).await;
    let clients: Vec<_> = layers.into_iter().map(Client::new).collect();
    let count = clients.len();
    clients
        .try_into()
        .unwrap_or_else(|_| panic!("the harness was asked for {N} clients and made {count}"))
}

/// Skips the case unless the harness declares `extension`.
pub(crate) fn needs<H: Harness>(extension: Extension) -> Result<(), Skipped> {
    if H::EXTENSIONS.contains(&extension) {
        Ok(())
    } else {
        Err(Skipped::extension(extension))
    }
}

/// The capacity the harness declares; skips the case if there is none.
pub(crate) fn capacity<H: Harness>() -> Result<usize, Skipped> {
    let capacity = H::CAPACITY.ok_or_else(Skipped::capacity)?;
    assert!(
        capacity >= 5,
        "Harness::CAPACITY is {capacity}; configure the layer for five messages or more"
    );
    Ok(capacity)
}

/// How many messages may lie on one channel: the capacity, or a moderate number without one.
pub(crate) fn window<H: Harness>() -> usize {
    H::CAPACITY.unwrap_or(50)
}

/// Long enough for a call to begin on another task, short enough not to matter for expiry.
pub(crate) fn moment<H: Harness>() -> Duration {
    (H::EXPIRY / 10).min(Duration::from_millis(50))
}

/// A call, for the message when it does not end or fails: what is called, and on which names.
#[derive(Clone, Copy)]
struct Step<'a>(&'static str, &'a (dyn fmt::Debug + Sync));

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {:?}", self.0, self.1)
    }
}

/// Awaits `future` for at most the step limit.
pub(crate) async fn bounded<H: Harness, T>(
    step: impl fmt::Display,
    future: impl Future<Output = T>,
) -> T {
    let limit = H::STEP_LIMIT;
    timeout(limit, future)
        .await
        .unwrap_or_else(|_| panic!("{step} did not end within {limit:?}"))
}

pub(crate) fn name(text: &str) -> ChannelName {
    ChannelName::new(text.to_owned()).expect("the suite uses valid channel names")
}

pub(crate) fn group_name(text: &str) -> GroupName {
    GroupName::new(text.to_owned()).expect("the suite uses valid group names")
}

pub(crate) fn pattern(text: &str) -> ChannelPattern {
    ChannelPattern::new(text.to_owned()).expect("the suite uses valid patterns")
}

impl<H> Client<H> {
    fn new(layer: Arc<dyn ChannelLayer>) -> Self {
        Self {
            layer,
            harness: PhantomData,
        }
    }

    pub(crate) fn layer(&self) -> &dyn ChannelLayer {
        &*self.layer
    }

    pub(crate) fn groups(&self) -> &dyn Groups {
        self.layer
            .require_groups()
            .unwrap_or_else(|error| lacking(&error))
    }

    pub(crate) fn flush(&self) -> &dyn Flush {
        self.layer
            .require_flush()
            .unwrap_or_else(|error| lacking(&error))
    }

    pub(crate) fn statistics(&self) -> &dyn Statistics {
        self.layer
            .require_statistics()
            .unwrap_or_else(|error| lacking(&error))
    }
}

fn lacking(error: &Error) -> ! {
    panic!("Harness::EXTENSIONS lists an extension the layer lacks: {error}")
}

// ---- Sending and receiving

impl<H: Harness> Client<H> {
    /// Sends, and expects the layer to accept.
    pub(crate) async fn send(&self, channel: &str, message: Message) {
        if let Err(error) = self.try_send(channel, message).await {
            panic!("send to `{channel}` must succeed: {}", chain(&error));
        }
    }

    pub(crate) async fn try_send(&self, channel: &str, message: Message) -> Result<(), Error> {
        let channel = name(channel);
        let sent = self.layer.send(&channel, message);
        bounded::<H, _>(Step("send", &channel), sent).await
    }

    /// Looks without waiting, as often as the layer may have to be asked.
    pub(crate) async fn try_receive(&self, channels: &[&str]) -> Option<(ChannelName, Message)> {
        let names: Vec<_> = channels.iter().copied().map(name).collect();
        let reliable = names.iter().all(|name| name.kind() != ChannelKind::Normal);
        let tries = if reliable { 1 } else { H::RECEIVE_TRIES.max(1) };
        for attempt in 1..=tries {
            let step = Step("try_receive", &channels);
            let received = bounded::<H, _>(step, self.layer.try_receive(&names))
                .await
                .unwrap_or_else(|error| panic!("{step} must succeed: {}", chain(&error)));
            if received.is_some() || attempt == tries {
                return received;
            }
            sleep(RETRY_PAUSE).await;
        }
        None
    }

    /// Waits for a message, for at most the step limit.
    pub(crate) async fn receive(&self, channels: &[&str]) -> (ChannelName, Message) {
        let names: Vec<_> = channels.iter().copied().map(name).collect();
        let step = Step("receive", &channels);
        bounded::<H, _>(step, self.layer.receive(&names))
            .await
            .unwrap_or_else(|error| panic!("{step} must succeed: {}", chain(&error)))
    }

    /// Takes everything that is there.
    pub(crate) async fn drain(&self, channels: &[&str]) -> Vec<(ChannelName, Message)> {
        let mut all = Vec::new();
        while let Some(received) = self.try_receive(channels).await {
            all.push(received);
        }
        all
    }

    /// Expects `message` to be there, sent to `from`.
    pub(crate) async fn expect(
        &self,
        channels: &[&str],
        from: &str,
        message: &Message,
        rule: &str,
    ) {
        let Some((channel, received)) = self.try_receive(channels).await else {
            panic!("{rule}: nothing came on {channels:?}, there should be {message} on `{from}`");
        };
        assert_eq!(channel, from, "{rule}: wrong channel for {received}");
        assert_eq!(received, *message, "{rule}: wrong message on `{from}`");
    }

    /// Expects that there is nothing.
    pub(crate) async fn expect_nothing(&self, channels: &[&str], rule: &str) {
        if let Some((channel, message)) = self.try_receive(channels).await {
            panic!("{rule}: {message} came on `{channel}`");
        }
    }

    pub(crate) async fn new_channel(&self, text: &str) -> ChannelName {
        let pattern = pattern(text);
        let made = self.layer.new_channel(&pattern);
        bounded::<H, _>(Step("new_channel", &text), made)
            .await
            .unwrap_or_else(|error| {
                panic!("new_channel on {text:?} must succeed: {}", chain(&error))
            })
    }
}

// ---- Extensions

impl<H: Harness> Client<H> {
    pub(crate) async fn group_add(&self, group: &str, channel: &str) {
        let step = Step("group_add", &[group, channel]);
        let (group, channel) = (group_name(group), name(channel));
        let added = self.groups().group_add(&group, &channel);
        must::<H, _>(step, added).await;
    }

    pub(crate) async fn group_discard(&self, group: &str, channel: &str) {
        let step = Step("group_discard", &[group, channel]);
        let (group, channel) = (group_name(group), name(channel));
        let discarded = self.groups().group_discard(&group, &channel);
        must::<H, _>(step, discarded).await;
    }

    pub(crate) async fn group_channels(&self, group: &str) -> BTreeSet<ChannelName> {
        let group = group_name(group);
        let members = self.groups().group_channels(&group);
        must::<H, _>(Step("group_channels", &group), members).await
    }

    pub(crate) async fn send_group(&self, group: &str, message: Message) {
        let group = group_name(group);
        let sent = self.groups().send_group(&group, message);
        must::<H, _>(Step("send_group", &group), sent).await;
    }

    pub(crate) async fn expect_members(&self, group: &str, members: &[&str], rule: &str) {
        let expected: BTreeSet<_> = members.iter().copied().map(name).collect();
        let found = self.group_channels(group).await;
        assert_eq!(found, expected, "{rule}: wrong members of group `{group}`");
    }

    pub(crate) async fn flush_all(&self) {
        must::<H, _>("flush", self.flush().flush()).await;
    }

    pub(crate) async fn channel_statistics(&self, channel: &str) -> ChannelStatistics {
        let channel = name(channel);
        let figures = self.statistics().channel_statistics(&channel);
        must::<H, _>(Step("channel_statistics", &channel), figures).await
    }

    pub(crate) async fn global_statistics(&self) -> GlobalStatistics {
        must::<H, _>("global_statistics", self.statistics().global_statistics()).await
    }
}

async fn must<H: Harness, T>(
    step: impl fmt::Display + Copy,
    future: impl Future<Output = Result<T, Error>>,
) -> T {
    bounded::<H, _>(step, future)
        .await
        .unwrap_or_else(|error| panic!("{step} must succeed: {}", chain(&error)))
}

/// An error with its causes, since its own text is one level only.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
