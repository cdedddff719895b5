use asgiref::{ChannelName, Message};
use bytes::Bytes;
use tokio::time::Instant;

/// A message as it was taken off the server.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    /// Rises with every message taken off a server.
    pub(super) number: u64,
    /// Which server it came from.
    pub(super) shard: usize,
    /// The channel, named up to the `!`.
    pub(super) queue: ChannelName,
    pub(super) key: Bytes,
    pub(super) body: Bytes,
    /// When it was taken off the server.
    pub(super) taken: Instant,
    /// When it expires.
    pub(super) expires: Instant,
}

/// A message for a caller.
#[derive(Clone, Debug)]
pub(crate) enum Ready {
    Parcel(Parcel),
    /// One of the messages an envelope became.
    Opened {
        channel: ChannelName,
        message: Message,
        expires: Instant,
    },
}

impl Ready {
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        let (Self::Parcel(Parcel { expires, .. }) | Self::Opened { expires, .. }) = self;
        *expires <= now
    }

    pub(super) fn queue(&self) -> &str {
        match self {
            Self::Parcel(parcel) => parcel.queue.as_str(),
            Self::Opened { channel, .. } => channel.non_local(),
        }
    }
}
