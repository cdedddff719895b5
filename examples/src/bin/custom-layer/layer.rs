use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use asgiref::{
    ChannelLayer, ChannelName, ChannelPattern, Error, Flush, GroupName, Groups, LayerConfig,
    Message, Result, codec::Codec,
};
use async_trait::async_trait;
use rand::Rng as _;
use tokio::time::sleep;

use crate::store::{Store, now};

/// How often a waiting `receive` looks. Files cannot be waited for portably; a layer on a server
/// would be told.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A channel layer in a directory, for all processes that can see it.
///
/// File operations are done in place, on the runtime's thread: they are short, and a call that is
/// dropped while it waits holds no message.
pub(crate) struct DirectoryChannelLayer {
    root: PathBuf,
    config: LayerConfig,
    /// How messages become bytes and back.
    codec: Codec,
    created: Instant,
    /// When everything is looked through next, in seconds since `created`.
    next_sweep: AtomicU64,
}

impl DirectoryChannelLayer {
    /// A layer in `root`, which is made if it does not exist.
    pub(crate) fn new(root: impl Into<PathBuf>, config: LayerConfig) -> Result<Self> {
        let root = root.into();
        config.validate()?;
        fs::create_dir_all(&root).map_err(|error| {
            Error::config("directory", format_args!("{}: {error}", root.display()))
        })?;
        Ok(Self {
            root,
            config,
            codec: Codec::new(),
            created: Instant::now(),
            next_sweep: AtomicU64::new(0),
        })
    }

    /// Does something with the files while no other process does.
    fn locked<T>(&self, work: impl FnOnce(&Store) -> io::Result<T>) -> Result<T> {
        let attempt = || {
            let store = Store::lock(&self.root, self.config.message_expiry())?;
            if self.is_time_to_sweep() {
                store.sweep()?;
            }
            work(&store)
        };
        attempt().map_err(|error| Error::backend("directory", error))
    }

    fn is_time_to_sweep(&self) -> bool {
        let now = self.created.elapsed().as_secs();
        if now < self.next_sweep.load(Ordering::Relaxed) {
            return false;
        }
        let pause = self.config.message_expiry().as_secs().max(1);
        self.next_sweep.store(now + pause, Ordering::Relaxed);
        true
    }

    fn capacity_of(&self, channel: &ChannelName) -> usize {
        self.config.capacities().of(channel.non_local())
    }
}

#[async_trait]
impl ChannelLayer for DirectoryChannelLayer {
    // ---- ASGI API

    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        let message = self.codec.encode(&message)?;
        let capacity = self.capacity_of(channel);
        if self.locked(|store| store.push(channel, &message, capacity))? {
            Ok(())
        } else {
            Err(Error::ChannelFull {
                channel: channel.to_non_local(),
            })
        }
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        loop {
            if let Some(received) = self.try_receive(channels).await? {
                return Ok(received);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        channels
            .iter()
            .try_for_each(ChannelName::check_receivable)?;
        if channels.is_empty() {
            return Ok(None);
        }
        // A random start, so that a busy channel does not starve those after it.
        let (after, first) = channels.split_at(rand::rng().random_range(0..channels.len()));
        let popped = self.locked(|store| {
            for channel in first.iter().chain(after) {
                if let Some(popped) = store.pop(channel)? {
                    return Ok(Some(popped));
                }
            }
            Ok(None)
        })?;
        popped
            .map(|(channel, message)| Ok((channel, self.codec.decode(message.into())?)))
            .transpose()
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        loop {
            let name = pattern.generate();
            if !self.locked(|store| Ok(store.is_in_use(&name)))? {
                return Ok(name);
            }
        }
    }

    // ---- Extensions

    fn as_groups(&self) -> Option<&dyn Groups> {
        Some(self)
    }

    fn as_flush(&self) -> Option<&dyn Flush> {
        Some(self)
    }
}

#[async_trait]
impl Groups for DirectoryChannelLayer {
    fn group_expiry(&self) -> Duration {
        self.config.membership_expiry()
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let until = now() + self.config.membership_expiry().as_nanos();
        self.locked(|store| store.add(group, channel, until))
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        self.locked(|store| store.discard(group, channel))
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        let members = self.locked(|store| store.members(group))?;
        Ok(members.into_iter().collect())
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let message = self.codec.encode(&message)?;
        self.locked(|store| {
            for channel in store.members(group)? {
                // A member whose channel is full misses the message.
                store.push(&channel, &message, self.capacity_of(&channel))?;
            }
            Ok(())
        })
    }
}

#[async_trait]
impl Flush for DirectoryChannelLayer {
    async fn flush(&self) -> Result<()> {
        self.locked(Store::clear)
    }
}

impl fmt::Display for DirectoryChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryChannelLayer({})", self.root.display())
    }
}

impl fmt::Debug for DirectoryChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryChannelLayer")
            .field("root", &self.root)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
