//! Responses that are being streamed, and clients that went away in the meantime.
//!
//! A protocol server says `http.disconnect` when a client leaves, and one worker hears it, often
//! not the one that streams to that client. So the workers that stream are a group, and whoever
//! hears it and does not stream to the client himself tells the group.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use asgiref::protocol::http::Disconnect;
use asgiref::{ChannelLayer, ChannelName, ChannelPattern, GroupName, Message};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// The group of the workers that have streamed, and the channels they are members with.
const GROUP: GroupName = GroupName::from_static("http.disconnect");
const MEMBERS: ChannelPattern = ChannelPattern::from_static("http.disconnect?");

/// How long, and for how many clients, it is remembered that they left: they may do so before
/// their response begins.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
const REMEMBERED: usize = 1000;

/// How often a worker renews its membership, and sees whether it is still there itself.
const RENEWAL: Duration = Duration::from_secs(30);

/// The responses one worker is streaming.
#[derive(Debug)]
pub(crate) struct Streams {
    layer: Arc<dyn ChannelLayer>,
    state: Mutex<State>,
    /// Whether the worker is, or is about to be, a member of the group.
    listening: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<ChannelName, Entry>,
    /// Tells entries with the same name apart.
    opened: u64,
    gone: VecDeque<(Instant, ChannelName)>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    gone: CancellationToken,
}

impl Streams {
    pub(crate) fn new(layer: Arc<dyn ChannelLayer>) -> Self {
        Self {
            layer,
            state: Mutex::default(),
            listening: AtomicBool::new(false),
        }
    }

    /// Says that a response is streamed to `reply_channel`, as long as what is returned lives.
    pub(super) fn open(self: &Arc<Self>, reply_channel: &ChannelName) -> OpenStream {
        let gone = CancellationToken::new();
        let number = {
            let mut state = self.lock();
            state.forget_before(Instant::now());
            if state.gone.iter().any(|(_, name)| name == reply_channel) {
                gone.cancel();
            }
            state.opened += 1;
            let entry = Entry {
                number: state.opened,
                gone: gone.clone(),
            };
            state.open.insert(reply_channel.clone(), entry);
            state.opened
        };
        if self.layer.as_groups().is_some() && !self.listening.swap(true, Ordering::Relaxed) {
            let layer = Arc::clone(&self.layer);
            tokio::spawn(listen(layer, Arc::downgrade(self)));
        }
        OpenStream {
            streams: Arc::clone(self),
            reply_channel: reply_channel.clone(),
            number,
            gone,
        }
    }

    /// Deals with an `http.disconnect` that this worker has received.
    pub(crate) async fn disconnected(&self, message: &Message) {
        let Ok(disconnect) = Disconnect::try_from(message) else {
            return;
        };
        if self.note(disconnect.reply_channel) {
            return;
        }
        let Some(groups) = self.layer.as_groups() else {
            return;
        };
        if let Err(error) = groups.send_group(&GROUP, message.clone()).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot tell the other workers that a client went away",
            );
        }
    }

    /// Ends the stream to `reply_channel` if it is one of this worker's, otherwise remembers it.
    fn note(&self, reply_channel: ChannelName) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        if let Some(entry) = state.open.get(&reply_channel) {
            entry.gone.cancel();
            return true;
        }
        state.forget_before(now);
        if state.gone.iter().all(|(_, name)| *name != reply_channel) {
            state.gone.truncate(REMEMBERED - 1);
            state.gone.push_front((now, reply_channel));
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was locked left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets who left longer ago than is remembered. The latest stand in front.
    fn forget_before(&mut self, now: Instant) {
        while let Some((at, _)) = self.gone.back()
            && now.duration_since(*at) > REMEMBERED_FOR
        {
            self.gone.pop_back();
        }
    }
}

/// A response being streamed.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Arc<Streams>,
    reply_channel: ChannelName,
    number: u64,
    gone: CancellationToken,
}

impl OpenStream {
    /// Waits until the client has gone away.
    pub(super) async fn client_gone(&self) {
        self.gone.cancelled().await;
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut state = self.streams.lock();
        let entry = state.open.get(&self.reply_channel);
        if entry.is_some_and(|entry| entry.number == self.number) {
            state.open.remove(&self.reply_channel);
        }
    }
}

/// Keeps the worker a member of the group and deals with what the others tell, until the worker
/// is gone.
async fn listen(layer: Arc<dyn ChannelLayer>, streams: Weak<Streams>) {
    while streams.strong_count() > 0 {
        if let Err(error) = listen_until_failure(&*layer, &streams).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot learn from other workers which clients go away; trying again",
            );
            sleep(RENEWAL).await;
        }
    }
}

async fn listen_until_failure(
    layer: &dyn ChannelLayer,
    streams: &Weak<Streams>,
) -> asgiref::Result<()> {
    let Some(groups) = layer.as_groups() else {
        return Ok(());
    };
    let member = [layer.new_channel(&MEMBERS).await?];
    while streams.strong_count() > 0 {
        groups.group_add(&GROUP, &member[0]).await?;
        let renewal = Instant::now() + RENEWAL;
        while let Ok(received) = timeout_at(renewal, layer.receive(&member)).await {
            let (_, message) = received?;
            if let (Ok(disconnect), Some(streams)) =
                (Disconnect::try_from(&message), streams.upgrade())
            {
                streams.note(disconnect.reply_channel);
            }
        }
    }
    groups.group_discard(&GROUP, &member[0]).await
}
