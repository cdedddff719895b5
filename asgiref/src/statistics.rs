use std::time::Duration;

use bytestring::ByteString;

use crate::map::Map;
use crate::message::Message;

/// Figures of one channel ([ASGI: Specification Details]); the specification's key is in each
/// field's name.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStatistics {
    /// `messages_count`: messages accepted since the layer started counting.
    pub messages_count: u64,
    /// `messages_count_per_second`: messages accepted in the last full second.
    pub messages_count_per_second: u64,
    /// `messages_pending`: messages waiting now.
    pub messages_pending: u64,
    /// `messages_max_age`: how long the oldest message has been waiting; zero if none waits.
    pub messages_max_age: Duration,
    /// `channel_full_count`: messages refused, or not delivered to a group member, because the
    /// channel was full.
    pub channel_full_count: u64,
    /// `channel_full_count_per_second`: the same in the last full second.
    pub channel_full_count_per_second: u64,
}

/// Figures of all channels together: sums, and the greatest age.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GlobalStatistics {
    /// `messages_count`: messages accepted since the layer started counting.
    pub messages_count: u64,
    /// `messages_count_per_second`: messages accepted in the last full second.
    pub messages_count_per_second: u64,
    /// `messages_pending`: messages waiting now.
    pub messages_pending: u64,
    /// `messages_max_age`: how long the oldest message has been waiting; zero if none waits.
    pub messages_max_age: Duration,
    /// `channel_full_count`: messages refused, or not delivered to a group member, because a
    /// channel was full.
    pub channel_full_count: u64,
    /// `channel_full_count_per_second`: the same in the last full second.
    pub channel_full_count_per_second: u64,
}

macro_rules! into_message {
    ($($type:ident)*) => {$(
        /// The figures under the specification's keys; the age in seconds, as a float.
        impl From<&$type> for Message {
            fn from(figures: &$type) -> Self {
                let count = |figure| i64::try_from(figure).unwrap_or(i64::MAX);
                let mut map = Map::with_capacity(6);
                for (key, figure) in [
                    ("messages_count", figures.messages_count),
                    ("messages_count_per_second", figures.messages_count_per_second),
                    ("messages_pending", figures.messages_pending),
                    ("channel_full_count", figures.channel_full_count),
                    ("channel_full_count_per_second", figures.channel_full_count_per_second),
                ] {
                    map.insert(ByteString::from_static(key), count(figure));
                }
                let age = figures.messages_max_age.as_secs_f64();
                map.insert(ByteString::from_static("messages_max_age"), age);
                Self::from(map)
            }
        }
    )*};
}

into_message!(ChannelStatistics GlobalStatistics);
