//! The contract between channel layers and everything that talks through them.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::name::{ChannelName, ChannelPattern, GroupName};
use crate::recipient::{Attachment, Recipient};
use crate::statistics::{ChannelStatistics, GlobalStatistics};

/// First and longest pause between two attempts to send to a full channel.
const SEND_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// Carries messages over named channels ([ASGI: Specification Details]).
///
/// Programs hold a layer as `Arc<dyn ChannelLayer>` and choose it at run time; protocol servers,
/// workers and applications know nothing of what is behind it.
///
/// # Contract
///
/// For layer authors, and what callers may rely on:
///
/// * A message is delivered at most once, to one reader.
/// * On a single-reader (`?`) or process-specific (`!`) channel, messages of one writer arrive in
///   the order they were sent, and a receive on a non-empty channel returns a message.
/// * A message that nobody received within the layer's expiry is never delivered.
/// * A channel at capacity refuses further messages. The capacity of a process-specific channel
///   is counted on its [non-local part](ChannelName::non_local).
/// * Messages of up to 1 MB (encoded as JSON) are carried.
/// * A busy channel does not starve a quiet one that is received in the same call.
/// * Changing a message after it was sent does not change what is received.
///
/// # Cancel safety
///
/// Dropping the future of [`receive`](Self::receive) or [`try_receive`](Self::try_receive) loses
/// no message that is still in a channel and takes no message from one later. A message the layer
/// had already taken over for this very call may be lost: delivery is at most once.
///
/// # Wrappers
///
/// A layer that wraps another forwards every method, the `as_…` accessors included; clippy's
/// `missing_trait_methods` finds one that was forgotten.
///
/// The `conformance` crate checks all of this against any implementation.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
#[async_trait]
pub trait ChannelLayer: fmt::Debug + fmt::Display + Send + Sync + 'static {
    // ---- ASGI API

    /// Puts `message` on `channel`. Never waits for room.
    ///
    /// # Errors
    ///
    /// [`Error::ChannelFull`] if the channel is at capacity, [`Error::MessageTooLarge`] if the
    /// layer does not carry messages of this size, [`Error::Backend`] if the transport failed.
    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()>;

    /// Waits for the next message on any of `channels` and returns it with the full name of the
    /// channel it was sent to. Waits for ever if `channels` is empty.
    ///
    /// Process-specific channels are named up to and including the `!`; the message's own channel
    /// comes back with its local part.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] for a process-specific name with a local part, [`Error::Backend`]
    /// if the transport failed.
    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)>;

    /// As [`receive`](Self::receive), but returns at once, with `None` if no message is there.
    ///
    /// A layer that spreads normal channels over several servers may return `None` although
    /// another server holds a message; it finds it when asked again.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    async fn try_receive(&self, channels: &[ChannelName])
    -> Result<Option<(ChannelName, Message)>>;

    /// Makes a channel name that begins with `pattern` and is not in use.
    ///
    /// A process-specific name must be received through the layer that made it.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the transport failed.
    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName>;

    /// Offers the messages of `channels` to `recipient` as they are sent, until the [`Attachment`]
    /// is dropped.
    ///
    /// It saves what a message costs on its way through a queue and from thread to thread: one
    /// that is taken goes from its sender's hand to the recipient's. Those the recipient does not
    /// take, and those that are there already, are received as ever. If a normal channel has
    /// several recipients, each message is offered to one after the other.
    ///
    /// `None` if the layer does not do that, as is usual for those that reach other processes.
    /// Process-specific channels are named up to and including the `!`.
    fn attach(
        &self,
        channels: &[ChannelName],
        recipient: Arc<dyn Recipient>,
    ) -> Option<Attachment> {
        let _ = (channels, recipient);
        None
    }

    /// Waits until messages that were taken off their channels for receives that have been dropped
    /// since are back there.
    ///
    /// For a program that has stopped receiving and is about to end, which would take them with it:
    /// whoever drops a receive does not wait for what that leaves behind. Layers that take a message
    /// only when they hand it over have nothing to wait for, which is the default. Does not wait for
    /// longer than the layer waits for a server that does not answer.
    async fn settle(&self) {}

    /// Whether the layer reaches no further than this process, so that protocol server and
    /// workers must share it.
    fn is_process_local(&self) -> bool {
        false
    }

    // ---- Extensions

    /// The groups extension, if the layer provides it.
    fn as_groups(&self) -> Option<&dyn Groups> {
        None
    }

    /// The flush extension, if the layer provides it.
    fn as_flush(&self) -> Option<&dyn Flush> {
        None
    }

    /// The statistics extension, if the layer provides it.
    fn as_statistics(&self) -> Option<&dyn Statistics> {
        None
    }
}

/// The groups extension: sending one message to many channels ([ASGI: Groups]).
///
/// # Contract
///
/// * Adding a member twice delivers to it once and restarts its expiry.
/// * Membership lasts at least until a message on the member's channel expires unread, and at
///   most [`group_expiry`](Self::group_expiry) after the latest [`group_add`](Self::group_add).
/// * A caller sees its own adds and discards at once.
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
#[async_trait]
pub trait Groups: Send + Sync {
    /// How long a membership lasts after the latest [`group_add`](Self::group_add).
    fn group_expiry(&self) -> Duration;

    /// Makes `channel` a member of `group`.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the transport failed; so for all methods of this trait.
    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()>;

    /// Ends the membership of `channel` in `group`; does nothing if it is no member.
    ///
    /// # Errors
    ///
    /// As [`group_add`](Self::group_add).
    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()>;

    /// The members of `group`; none if the group does not exist.
    ///
    /// # Errors
    ///
    /// As [`group_add`](Self::group_add).
    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>>;

    /// Sends `message` to every member of `group`. Members whose channel is full miss it; the
    /// layer counts them and [warns](crate::DroppedDeliveries) of it, it is never an error.
    ///
    /// # Errors
    ///
    /// [`Error::MessageTooLarge`], and as [`group_add`](Self::group_add).
    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()>;
}

/// The flush extension: emptying a layer, for tests and development.
#[async_trait]
pub trait Flush: Send + Sync {
    /// Removes all messages and all groups; returns when every client sees the layer empty.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the transport failed.
    async fn flush(&self) -> Result<()>;
}

/// The statistics extension.
#[async_trait]
pub trait Statistics: Send + Sync {
    /// Figures for all channels together.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the transport failed.
    async fn global_statistics(&self) -> Result<GlobalStatistics>;

    /// Figures for one channel; those of the [non-local part](ChannelName::non_local) for a
    /// process-specific one. A channel that was never used has zeros.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the transport failed.
    async fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics>;
}

/// A group of optional methods a layer may provide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// [`Flush`].
    Flush,
    /// [`Groups`].
    Groups,
    /// [`Statistics`].
    Statistics,
}

impl Extension {
    /// The extension's name in the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Groups => "groups",
            Self::Statistics => "statistics",
        }
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Conveniences every layer has; not meant to be implemented by hand.
///
/// ```
/// use asgiref::{ChannelLayerExt as _, InMemoryChannelLayer};
///
/// let layer = InMemoryChannelLayer::new();
/// assert!(layer.require_groups().is_ok());
/// ```
pub trait ChannelLayerExt: ChannelLayer {
    /// The extensions the layer provides.
    fn extensions(&self) -> BTreeSet<Extension> {
        let mut extensions = BTreeSet::new();
        if self.as_flush().is_some() {
            extensions.insert(Extension::Flush);
        }
        if self.as_groups().is_some() {
            extensions.insert(Extension::Groups);
        }
        if self.as_statistics().is_some() {
            extensions.insert(Extension::Statistics);
        }
        extensions
    }

    /// The groups extension, for a program that cannot do without.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`], naming the layer and the extension; so for all methods named
    /// `require_…`.
    fn require_groups(&self) -> Result<&dyn Groups> {
        self.as_groups()
            .ok_or_else(|| self.unsupported(Extension::Groups))
    }

    /// The flush extension, for a program that cannot do without.
    ///
    /// # Errors
    ///
    /// As [`require_groups`](Self::require_groups).
    fn require_flush(&self) -> Result<&dyn Flush> {
        self.as_flush()
            .ok_or_else(|| self.unsupported(Extension::Flush))
    }

    /// The statistics extension, for a program that cannot do without.
    ///
    /// # Errors
    ///
    /// As [`require_groups`](Self::require_groups).
    fn require_statistics(&self) -> Result<&dyn Statistics> {
        self.as_statistics()
            .ok_or_else(|| self.unsupported(Extension::Statistics))
    }

    /// Sends `message`; while the channel is full, waits and tries again, for up to `limit`.
    ///
    /// The first attempt is made at once, the last when `limit` is over. Pauses are a millisecond
    /// at first and grow to a tenth of a second.
    ///
    /// # Errors
    ///
    /// [`Error::ChannelFull`] if there was no room all the time; any other error of
    /// [`send`](ChannelLayer::send) at once.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message was sent once or not at all.
    fn send_within(
        &self,
        channel: &ChannelName,
        message: Message,
        limit: Duration,
    ) -> impl Future<Output = Result<()>> + Send {
        async move {
            match self.send(channel, message.clone()).await {
                Err(error) if error.is_channel_full() => {}
                result => return result,
            }
            let deadline = Instant::now() + limit;
            let mut backoff = Backoff::new(SEND_PAUSES.0, SEND_PAUSES.1);
            loop {
                let wake = Instant::now() + backoff.next_pause();
                sleep_until(wake.min(deadline)).await;
                match self.send(channel, message.clone()).await {
                    Err(error) if error.is_channel_full() && Instant::now() < deadline => {}
                    result => return result,
                }
            }
        }
    }

    /// The error that says this layer lacks `extension`.
    fn unsupported(&self, extension: Extension) -> Error {
        Error::Unsupported {
            layer: self.to_string(),
            extension,
        }
    }
}

impl<T: ChannelLayer + ?Sized> ChannelLayerExt for T {}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Written out as `async_trait` expands it, but for the body: the pointee's future is handed on
/// as it is rather than boxed a second time.
macro_rules! forward_to_pointee {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: ChannelLayer + ?Sized> ChannelLayer for $pointer<T> {
            fn send<'layer, 'name, 'call>(
                &'layer self,
                channel: &'name ChannelName,
                message: Message,
            ) -> BoxFuture<'call, Result<()>>
            where
                'layer: 'call,
                'name: 'call,
                Self: 'call,
            {
                (**self).send(channel, message)
            }

            fn receive<'layer, 'name, 'call>(
                &'layer self,
                channels: &'name [ChannelName],
            ) -> BoxFuture<'call, Result<(ChannelName, Message)>>
            where
                'layer: 'call,
                'name: 'call,
                Self: 'call,
            {
                (**self).receive(channels)
            }

            fn try_receive<'layer, 'name, 'call>(
                &'layer self,
                channels: &'name [ChannelName],
            ) -> BoxFuture<'call, Result<Option<(ChannelName, Message)>>>
            where
                'layer: 'call,
                'name: 'call,
                Self: 'call,
            {
                (**self).try_receive(channels)
            }

            fn new_channel<'layer, 'name, 'call>(
                &'layer self,
                pattern: &'name ChannelPattern,
            ) -> BoxFuture<'call, Result<ChannelName>>
            where
                'layer: 'call,
                'name: 'call,
                Self: 'call,
            {
                (**self).new_channel(pattern)
            }

            fn attach(
                &self,
                channels: &[ChannelName],
                recipient: Arc<dyn Recipient>,
            ) -> Option<Attachment> {
                (**self).attach(channels, recipient)
            }

            fn settle<'layer, 'call>(&'layer self) -> BoxFuture<'call, ()>
            where
                'layer: 'call,
                Self: 'call,
            {
                (**self).settle()
            }

            fn is_process_local(&self) -> bool {
                (**self).is_process_local()
            }

            fn as_groups(&self) -> Option<&dyn Groups> {
                (**self).as_groups()
            }

            fn as_flush(&self) -> Option<&dyn Flush> {
                (**self).as_flush()
            }

            fn as_statistics(&self) -> Option<&dyn Statistics> {
                (**self).as_statistics()
            }
        }
    };
}

forward_to_pointee!(Arc);
forward_to_pointee!(Box);
