//! An in-memory layer whose faults a test switches on and off.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use asgiref::{
    ChannelKind, ChannelLayer, ChannelName, ChannelPattern, Error, Flush, Groups,
    InMemoryChannelLayer, LayerConfig, Message, Result, Statistics,
};

/// What happens to what the server sends and receives. What the test sends and receives as the
/// application always goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    None,
    /// Every channel is full.
    Full,
    /// The transport fails.
    Broken,
    /// The server can receive nothing.
    Deaf,
}

/// The text of the error a broken layer gives, which no client may see.
pub const SECRET: &str = "password hunter2 rejected by 10.1.2.3";

/// An in-memory layer with a switch.
pub struct FaultyLayer {
    inner: InMemoryChannelLayer,
    fault: AtomicU8,
}

impl FaultyLayer {
    pub fn new(config: LayerConfig) -> Self {
        Self {
            inner: InMemoryChannelLayer::with_config(config),
            fault: AtomicU8::new(Fault::None as u8),
        }
    }

    pub fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault.load(Ordering::SeqCst) == fault as u8
    }
}

#[async_trait::async_trait]
impl ChannelLayer for FaultyLayer {
    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        if channel.kind() != ChannelKind::ProcessSpecific {
            if self.has(Fault::Full) {
                return Err(Error::ChannelFull {
                    channel: channel.clone(),
                });
            }
            if self.has(Fault::Broken) {
                return Err(Error::backend("faulty", SECRET));
            }
        }
        self.inner.send(channel, message).await
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        let is_servers = |name: &ChannelName| name.kind() == ChannelKind::ProcessSpecific;
        if self.has(Fault::Deaf) && channels.iter().any(is_servers) {
            return Err(Error::backend("faulty", SECRET));
        }
        self.inner.receive(channels).await
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        self.inner.try_receive(channels).await
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        self.inner.new_channel(pattern).await
    }

    fn is_process_local(&self) -> bool {
        self.inner.is_process_local()
    }

    fn as_groups(&self) -> Option<&dyn Groups> {
        self.inner.as_groups()
    }

    fn as_flush(&self) -> Option<&dyn Flush> {
        self.inner.as_flush()
    }

    fn as_statistics(&self) -> Option<&dyn Statistics> {
        self.inner.as_statistics()
    }
}

impl fmt::Display for FaultyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyLayer")
    }
}

impl fmt::Debug for FaultyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyLayer")
    }
}
