use asgiref::{ChannelName, Message};
use bytes::Bytes;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use tokio::time::Instant;

use crate::outbox;
use crate::topology::{CHANNEL_HEADER, ENVELOPE};

/// A message as it was taken off its queue.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    /// The channel, named up to the `!`.
    pub(super) queue: ChannelName,
    pub(super) body: Bytes,
    /// What follows the `!` in the channel's name.
    pub(super) local: Option<String>,
    pub(super) is_envelope: bool,
    /// When it expires, at the latest.
    pub(super) expires: Instant,
}

impl Parcel {
    pub(super) fn new(queue: ChannelName, delivery: Delivery, expires: Instant) -> Self {
        Self {
            queue,
            local: local_part(&delivery),
            is_envelope: is_envelope(&delivery),
            body: delivery.data.into(),
            expires,
        }
    }

    /// The same, to be sent again.
    pub(super) fn to_send(&self) -> outbox::Parcel {
        outbox::Parcel {
            body: self.body.clone(),
            local: self.local.clone(),
            members: self.is_envelope.then_some(1),
        }
    }
}

/// Whether a message is for many channels of one process.
pub(crate) fn is_envelope(delivery: &Delivery) -> bool {
    let kind = delivery.properties.kind().as_ref();
    kind.is_some_and(|kind| kind.as_str() == ENVELOPE)
}

/// The local part of the channel that a message was sent to, from its header.
pub(crate) fn local_part(delivery: &Delivery) -> Option<String> {
    let headers = delivery.properties.headers().as_ref()?;
    match headers.inner().get(CHANNEL_HEADER)? {
        AMQPValue::LongString(local) => String::from_utf8(local.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(local) => Some(local.as_str().to_owned()),
        _ => None,
    }
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
