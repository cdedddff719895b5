//! Channel layers for synchronous programs.
//!
//! ```
//! use std::time::Duration;
//! use asgiref::{ChannelName, InMemoryChannelLayer, blocking, message};
//!
//! let layer = blocking::ChannelLayer::new(InMemoryChannelLayer::new())?;
//! let channel = ChannelName::new("thumbnails")?;
//! layer.send(&channel, message! { "picture" => 42 })?;
//!
//! let (from, message) = layer.receive(std::slice::from_ref(&channel))?;
//! assert_eq!((from.as_str(), message.int("picture")?), ("thumbnails", 42));
//! assert!(layer.receive_timeout(&[channel], Duration::from_millis(1))?.is_none());
//! # Ok::<(), asgiref::Error>(())
//! ```

mod runtime;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::Result;
use crate::layer::{ChannelLayer as AsyncChannelLayer, ChannelLayerExt as _, Extension};
use crate::message::Message;
use crate::name::{ChannelName, ChannelPattern, GroupName};
use crate::statistics::{ChannelStatistics, GlobalStatistics};

use runtime::Runtime;

/// A channel layer whose methods block the calling thread until they are done.
///
/// A clone is another handle to the same layer; any number of threads may use one handle.
/// Messages, and their order, are shared with every asynchronous handle to the same layer.
///
/// # Asynchronous programs
///
/// Inside an asynchronous task every method returns
/// [`Error::BlockingInAsync`](crate::Error::BlockingInAsync). In `tokio::task::spawn_blocking` they
/// work.
#[derive(Clone)]
pub struct ChannelLayer {
    layer: Arc<dyn AsyncChannelLayer>,
    runtime: Runtime,
}

impl ChannelLayer {
    /// Wraps a layer, with a thread of its own for what the layer does in the background: timers,
    /// connections, clearing up. The thread ends with the last handle.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`](crate::Error::Backend) if the system gives no thread.
    pub fn new(layer: impl AsyncChannelLayer) -> Result<Self> {
        Ok(Self {
            layer: Arc::new(layer),
            runtime: Runtime::start()?,
        })
    }

    /// Wraps the layer that `open` makes, as [`new`](Self::new), for layers that must be made
    /// where they live.
    ///
    /// ```
    /// use asgiref::{InMemoryChannelLayer, blocking};
    ///
    /// let layer = blocking::ChannelLayer::open(|| async {
    ///     InMemoryChannelLayer::from_url("memory:?capacity=200")
    /// })?;
    /// # let _ = layer;
    /// # Ok::<(), asgiref::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and those of `open`.
    pub fn open<L: AsyncChannelLayer, F: Future<Output = Result<L>>>(
        open: impl FnOnce() -> F,
    ) -> Result<Self> {
        let runtime = Runtime::start()?;
        let layer = runtime.wait(async { open().await })??;
        Ok(Self {
            layer: Arc::new(layer),
            runtime,
        })
    }

    /// Wraps a layer for use with a runtime that is there already, and is running as long as the
    /// facade is used.
    pub fn with_handle(layer: impl AsyncChannelLayer, handle: Handle) -> Self {
        Self {
            layer: Arc::new(layer),
            runtime: Runtime::of(handle),
        }
    }

    /// The asynchronous layer.
    #[must_use]
    pub fn as_async(&self) -> &Arc<dyn AsyncChannelLayer> {
        &self.layer
    }

    // ---- ASGI API

    /// As [`ChannelLayer::send`](AsyncChannelLayer::send).
    ///
    /// # Errors
    ///
    /// Those of the asynchronous method, and
    /// [`Error::BlockingInAsync`](crate::Error::BlockingInAsync); so for all methods.
    pub fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        self.runtime.wait(self.layer.send(channel, message))?
    }

    /// As [`ChannelLayer::receive`](AsyncChannelLayer::receive).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        self.runtime.wait(self.layer.receive(channels))?
    }

    /// As [`receive`](Self::receive), but gives up after `timeout` and returns `None`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn receive_timeout(
        &self,
        channels: &[ChannelName],
        timeout: Duration,
    ) -> Result<Option<(ChannelName, Message)>> {
        self.runtime
            .wait_at_most(timeout, self.layer.receive(channels))?
            .transpose()
    }

    /// As [`ChannelLayer::try_receive`](AsyncChannelLayer::try_receive).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn try_receive(&self, channels: &[ChannelName]) -> Result<Option<(ChannelName, Message)>> {
        self.runtime.wait(self.layer.try_receive(channels))?
    }

    /// As [`ChannelLayer::new_channel`](AsyncChannelLayer::new_channel).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        self.runtime.wait(self.layer.new_channel(pattern))?
    }

    /// Whether the layer reaches no further than this process.
    #[must_use]
    pub fn is_process_local(&self) -> bool {
        self.layer.is_process_local()
    }

    /// The extensions the layer provides.
    #[must_use]
    pub fn extensions(&self) -> BTreeSet<Extension> {
        self.layer.extensions()
    }

    // ---- Groups

    /// How long a membership lasts after the latest [`group_add`](Self::group_add).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the layer has no groups.
    pub fn group_expiry(&self) -> Result<Duration> {
        Ok(self.layer.require_groups()?.group_expiry())
    }

    /// As [`Groups::group_add`](crate::Groups::group_add).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::Unsupported`](crate::Error::Unsupported) if the layer
    /// lacks the extension; so for all methods of extensions.
    pub fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let groups = self.layer.require_groups()?;
        self.runtime.wait(groups.group_add(group, channel))?
    }

    /// As [`Groups::group_discard`](crate::Groups::group_discard).
    ///
    /// # Errors
    ///
    /// As [`group_add`](Self::group_add).
    pub fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let groups = self.layer.require_groups()?;
        self.runtime.wait(groups.group_discard(group, channel))?
    }

    /// As [`Groups::group_channels`](crate::Groups::group_channels).
    ///
    /// # Errors
    ///
    /// As [`group_add`](Self::group_add).
    pub fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        let groups = self.layer.require_groups()?;
        self.runtime.wait(groups.group_channels(group))?
    }

    /// As [`Groups::send_group`](crate::Groups::send_group).
    ///
    /// # Errors
    ///
    /// As [`group_add`](Self::group_add).
    pub fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let groups = self.layer.require_groups()?;
        self.runtime.wait(groups.send_group(group, message))?
    }

    // ---- Flush

    /// As [`Flush::flush`](crate::Flush::flush).
    ///
    /// # Errors
    ///
    /// As [`group_add`](Self::group_add).
    pub fn flush(&self) -> Result<()> {
        self.runtime.wait(self.layer.require_flush()?.flush())?
    }

    // ---- Statistics

    /// As [`Statistics::global_statistics`](crate::Statistics::global_statistics).
    ///
    /// # Errors
    ///
    /// As [`group_add`](Self::group_add).
    pub fn global_statistics(&self) -> Result<GlobalStatistics> {
        let statistics = self.layer.require_statistics()?;
        self.runtime.wait(statistics.global_statistics())?
    }

    /// As [`Statistics::channel_statistics`](crate::Statistics::channel_statistics).
    ///
    /// # Errors
    ///
    /// As [`group_add`](Self::group_add).
    pub fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics> {
        let statistics = self.layer.require_statistics()?;
        self.runtime.wait(statistics.channel_statistics(channel))?
    }
}

impl fmt::Display for ChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layer.fmt(f)
    }
}

impl fmt::Debug for ChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::ChannelLayer")
            .field(&self.layer)
            .finish()
    }
}
