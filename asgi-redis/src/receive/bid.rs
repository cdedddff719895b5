//! Messages that are given to this process without being stored.
//!
//! While a process waits it bids: it says at the server how many messages of which channels it
//! takes at once. A message for an empty queue then goes straight to a bidder, on a connection
//! that listens, and saves what a stored one costs: the read of its reference, and a request for
//! the message. When the wait ends, the bids are withdrawn in the same step that takes stored
//! messages, and a mark is sent behind everything that was given, so that nothing is overtaken.

use std::sync::Arc;
use std::time::Duration;

use asgiref::ChannelName;
use bytes::{Buf as _, Bytes};
use tokio::time::Instant;

use crate::keys::{DIGITS, Keys};

use super::parcel::Parcel;

/// The most messages that a bid takes. So many can be lost with a connection that is dead
/// without a word.
pub(super) const MAX_LIMIT: usize = 16;

/// How many sets of channels are bid for at once.
pub(super) const MAX_BIDS: usize = 32;

/// What a process takes for those who wait for a set of channels.
#[derive(Debug)]
pub(super) struct Bid {
    /// The number of the set.
    pub(super) class: u64,
    pub(super) limit: usize,
    pub(super) queues: Arc<[ChannelName]>,
}

/// A message that was given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) class: u64,
    /// As if it had been stored and taken.
    pub(super) parcel: Parcel,
}

impl Given {
    /// Reads what the server published: number of the set, queue, variable part of the key and
    /// life in ms, each followed by a space, and the body.
    pub(super) fn read(mut text: Bytes, keys: &Keys, shard: usize, number: u64) -> Option<Self> {
        let class = integer(&word(&mut text)?)?;
        let queue = String::from_utf8(word(&mut text)?.into()).ok()?;
        let digits = word(&mut text)?;
        if digits.len() != DIGITS {
            return None;
        }
        let life = Duration::from_millis(integer(&word(&mut text)?)?);
        let now = Instant::now();
        Some(Self {
            class,
            parcel: Parcel {
                number,
                shard,
                queue: ChannelName::new(queue).ok()?,
                key: keys.body(&digits),
                body: text,
                taken: now,
                expires: now.checked_add(life)?,
            },
        })
    }
}

fn word(text: &mut Bytes) -> Option<Bytes> {
    let end = text.iter().position(|byte| *byte == b' ')?;
    let word = text.split_to(end);
    text.advance(1);
    Some(word)
}

fn integer(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_read_and_anything_else_is_not() {
        let keys = Keys::new("asgi:", "asgi-meta:");
        let digits = "0123456789abcdef0123456789abcdef";
        let text = format!("7 http.response.AbC! {digits} 60000 a body");
        let given = Given::read(Bytes::from(text.clone()), &keys, 1, 2).unwrap();
        assert_eq!(given.class, 7);
        let parcel = given.parcel;
        assert_eq!((parcel.shard, parcel.number), (1, 2));
        assert_eq!(parcel.queue, "http.response.AbC!");
        assert_eq!(parcel.key, format!("asgi:{digits}"));
        assert_eq!(parcel.body, "a body");
        assert!(parcel.expires > Instant::now());
        for wrong in [
            text.replace("7 ", "seven "),
            text.replace("http.", "http:"),
            text.replace("0123", "123"),
            text.replace("60000", "-1"),
            "7 http.response.AbC!".to_owned(),
            String::new(),
        ] {
            assert!(
                Given::read(wrong.clone().into(), &keys, 0, 0).is_none(),
                "{wrong}"
            );
        }
    }
}
