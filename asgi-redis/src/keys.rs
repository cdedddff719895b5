//! Names of the keys: message bodies, channel lists, group sets, statistics counters.
//!
//! With `P` for the prefix and `S` for the statistics prefix:
//!
//! | key | type | content |
//! |---|---|---|
//! | `P` + 32 hexadecimal digits | string | an encoded message |
//! | `P` + queue | list | the keys of its messages, oldest first |
//! | `P:group:` + group | sorted set | members, by the time they were last added |
//! | `P:expired:` + queue | hash | channels a message on which expired unread, and when |
//! | `P:reader:` + queue | string | its process reads envelopes |
//! | `P:wake:` + random | list | ends a wait for messages |
//! | `P:bids:` + queue | set | who waits for messages of the queue: bids |
//! | `P:bid:` + bid | string | how many messages it takes |
//! | `P:data` | string | a mark that is gone if the server was emptied |
//! | `S` + queue + `:messages_count` and so on | string | a counter |
//!
//! A queue is a channel's name, up to the `!` for process-specific ones. No channel or group name
//! contains a colon, so that these never collide.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rand::Rng as _;
use sha1::{Digest as _, Sha1};

/// The pseudo-channel whose counters are those of all channels together.
const GLOBAL: &str = "#global#";

/// How many hexadecimal digits of a body's key tell the time it was sent, in sixteenths of a
/// second.
const TIME_DIGITS: usize = 9;

/// Where in a body's key it says what it is: Python's random keys have a `4` there.
const FORM_AT: usize = 12;

/// How many hexadecimal digits of a body's key tell the channel it was sent to.
pub(crate) const CHANNEL_DIGITS: usize = 11;

/// How many hexadecimal digits the variable part of a body's key has.
pub(crate) const DIGITS: usize = 32;

/// The prefixes of the keys on one server.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
    stats_prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: impl Into<String>, stats_prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            stats_prefix: stats_prefix.into(),
        }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn stats_prefix(&self) -> &str {
        &self.stats_prefix
    }

    /// The list of a queue.
    pub(crate) fn queue(&self, queue: &str) -> String {
        format!("{}{queue}", self.prefix)
    }

    /// The queue whose list `key` is.
    pub(crate) fn queue_of<'k>(&self, key: &'k [u8]) -> Option<&'k str> {
        str::from_utf8(key).ok()?.strip_prefix(&self.prefix)
    }

    pub(crate) fn group(&self, group: &str) -> String {
        format!("{}:group:{group}", self.prefix)
    }

    pub(crate) fn wake(&self, reader: &str) -> String {
        format!("{}:wake:{reader}", self.prefix)
    }

    /// How many messages a bid takes.
    pub(crate) fn bid(&self, bid: &str) -> String {
        format!("{}:bid:{bid}", self.prefix)
    }

    /// What the process that waits at `desk` subscribes to.
    pub(crate) fn desk(&self, desk: &str) -> String {
        format!("{}:desk:{desk}", self.prefix)
    }

    /// What says that the data on the server is still what it was.
    pub(crate) fn data(&self) -> String {
        format!("{}:data", self.prefix)
    }

    /// Begins the keys of the hashes of expired channels, which end in the queue.
    pub(crate) fn expired(&self) -> String {
        format!("{}:expired:", self.prefix)
    }

    /// Begins the keys that announce readers of envelopes, which end in the queue.
    pub(crate) fn reader(&self) -> String {
        format!("{}:reader:", self.prefix)
    }

    /// Begins the counters of a queue, which end in what they count.
    pub(crate) fn statistics(&self, queue: &str) -> String {
        format!("{}{queue}:", self.stats_prefix)
    }

    /// Begins the counters of all queues together.
    pub(crate) fn global_statistics(&self) -> String {
        self.statistics(GLOBAL)
    }

    /// What is to be learnt from the key of a body that is gone: `None` if another
    /// implementation wrote it.
    pub(crate) fn read_body_key(key: &[u8]) -> Option<BodyKey> {
        let digits = body_digits(key)?;
        if !matches!(digits.as_bytes()[FORM_AT], PLAIN | ENVELOPE) {
            return None;
        }
        let ticks = u64::from_str_radix(&digits[..TIME_DIGITS], 16).ok()?;
        Some(BodyKey {
            sent: ticks as f64 / 16.0,
            channel: digits[FORM_AT + 1..][..CHANNEL_DIGITS].to_owned(),
        })
    }

    /// The key of a body, given its variable part.
    pub(crate) fn body(&self, digits: &[u8]) -> Bytes {
        [self.prefix.as_bytes(), digits].concat().into()
    }

    /// Whether the key of a body says that the body is an envelope.
    pub(crate) fn is_envelope(key: &[u8]) -> bool {
        body_digits(key).is_some_and(|digits| digits.as_bytes()[FORM_AT] == ENVELOPE)
    }
}

/// The variable part of a body's key.
fn body_digits(key: &[u8]) -> Option<&str> {
    let key = str::from_utf8(key).ok()?;
    let digits = key.get(key.len().checked_sub(DIGITS)?..)?;
    let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    all_hex.then_some(digits)
}

/// What stands in a body's key at the place of its form.
const PLAIN: u8 = b'0';
const ENVELOPE: u8 = b'e';

/// What a body's key tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BodyKey {
    /// When the message was sent, by the server's clock, in seconds.
    pub(crate) sent: f64,
    /// The channel's [digest].
    pub(crate) channel: String,
}

/// What stands for a channel in the keys of bodies: the first digits of its SHA-1 hash, which the
/// server can compute as well.
pub(crate) fn digest(channel: &str) -> String {
    let hash = Sha1::digest(channel);
    let mut digits = String::with_capacity(2 * CHANNEL_DIGITS);
    for byte in &hash[..CHANNEL_DIGITS.div_ceil(2)] {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits.truncate(CHANNEL_DIGITS);
    digits
}

/// Makes the parts of body keys that no two messages share.
///
/// A key also contains the time and the channel, so that two can only be equal if two processes
/// draw the same number when they start and send to the same channel in the same sixteenth of a
/// second with their counters alike.
#[derive(Debug)]
pub(crate) struct Unique {
    process: u64,
    counter: AtomicU64,
}

impl Unique {
    pub(crate) fn new() -> Self {
        let mut random = rand::rng();
        Self {
            process: random.random::<u64>() & 0xfff_ffff,
            counter: AtomicU64::new(random.random::<u64>() & 0xffff),
        }
    }

    /// The part of a key after its time for a message to the channel with this [digest].
    pub(crate) fn tail(&self, channel_digest: &str, envelope: bool) -> String {
        let form = if envelope { ENVELOPE } else { PLAIN } as char;
        let (high, low, count) = self.parts();
        format!("{high:03x}{form}{channel_digest}{low:04x}{count:04x}")
    }

    /// What tails consist of beside form and channel, for a script that makes several: three
    /// digits before those, and twice four after them, to the first of which it adds a different
    /// number for each.
    pub(crate) fn parts(&self) -> (u16, u16, u16) {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        (
            (self.process >> 16) as u16,
            self.process as u16,
            count as u16,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_python_layer() {
        let keys = Keys::new("asgi:", "asgi-meta:");
        assert_eq!(keys.queue("http.response.AbC!"), "asgi:http.response.AbC!");
        assert_eq!(keys.group("chat"), "asgi::group:chat");
        assert_eq!(keys.statistics("st!"), "asgi-meta:st!:");
        assert_eq!(keys.global_statistics(), "asgi-meta:#global#:");
        assert_eq!(keys.queue_of(b"asgi:a!"), Some("a!"));
        assert_eq!(keys.queue_of(b"other:a"), None);
    }

    #[test]
    fn body_keys_tell_channel_time_and_form() {
        let unique = Unique::new();
        let channel = digest("daphne.response.AbC!XyZ");
        assert_eq!(channel.len(), CHANNEL_DIGITS);
        let key = format!("asgi:{:09x}{}", 16 * 1000 + 8, unique.tail(&channel, false));
        assert_eq!(key.len(), "asgi:".len() + DIGITS);
        let read = Keys::read_body_key(key.as_bytes());
        let expected = BodyKey {
            sent: 1000.5,
            channel,
        };
        assert_eq!(read, Some(expected));
        assert!(!Keys::is_envelope(key.as_bytes()));
        let key = format!("asgi:{:09x}{}", 1, unique.tail(&digest("a!"), true));
        assert!(Keys::is_envelope(key.as_bytes()));
    }

    #[test]
    fn body_keys_of_others_tell_nothing() {
        let python = b"asgi:0f8fad5bd9cb469fa16570867728950e";
        assert_eq!(Keys::read_body_key(python), None);
        assert_eq!(Keys::read_body_key(b"asgi:short"), None);
        assert!(!Keys::is_envelope(b"asgi:\xff"));
    }

    #[test]
    fn no_two_tails_are_alike() {
        let unique = Unique::new();
        let mut tails: Vec<_> = (0..1000).map(|_| unique.tail("0", false)).collect();
        tails.sort_unstable();
        tails.dedup();
        assert_eq!(tails.len(), 1000);
    }
}
