//! Datagrams ([ASGI: UDP]).
//!
//! [ASGI: UDP]: https://channels.readthedocs.io/en/1.x/asgi/udp.html

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::message::Message;
use crate::name::ChannelName;
use crate::protocol::Address;
use crate::protocol::fields::{self, Fields, debug_as_message, try_from_owned};

/// Where protocol servers send [`Receive`]s.
pub const RECEIVE: ChannelName = ChannelName::from_static("udp.receive");

const DATA: &str = "data";

/// `udp.receive`: one datagram came.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Receive {
    /// Where a [`Send`] goes: process-specific.
    pub reply_channel: ChannelName,
    /// What the datagram carried.
    pub data: Bytes,
    /// The remote end.
    pub client: Address,
    /// The local end, where it is known.
    pub server: Option<Address>,
}

impl TryFrom<&Message> for Receive {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::MissingKey`], [`Error::WrongType`] or [`Error::InvalidMessage`], naming the key.
    fn try_from(message: &Message) -> Result<Self> {
        let client =
            fields::address(message, fields::CLIENT)?.ok_or_else(|| Error::MissingKey {
                key: fields::CLIENT.to_owned(),
            })?;
        Ok(Self {
            reply_channel: fields::reply_channel(message)?,
            data: message.bytes(DATA)?.clone(),
            client,
            server: fields::address(message, fields::SERVER)?,
        })
    }
}

impl From<Receive> for Message {
    fn from(receive: Receive) -> Self {
        let mut fields = Fields::with_capacity(4);
        fields.put(fields::REPLY_CHANNEL, receive.reply_channel);
        fields.put(DATA, receive.data);
        fields.put(fields::CLIENT, receive.client);
        fields.put_some(fields::SERVER, receive.server);
        fields.into_message()
    }
}

/// A datagram to send to the client, on the reply channel.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the specification defines exactly these keys"
)]
pub struct Send {
    /// What the datagram carries.
    pub data: Bytes,
}

impl TryFrom<&Message> for Send {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::MissingKey`] or [`Error::WrongType`], naming the key.
    fn try_from(message: &Message) -> Result<Self> {
        Ok(Self {
            data: message.bytes(DATA)?.clone(),
        })
    }
}

impl From<Send> for Message {
    fn from(send: Send) -> Self {
        let mut fields = Fields::with_capacity(1);
        fields.put(DATA, send.data);
        fields.into_message()
    }
}

debug_as_message!(Receive Send);
try_from_owned!(Receive Send);
