//! Which server holds a single-reader channel, a process-specific channel or a group.

use std::sync::atomic::{AtomicUsize, Ordering};

use asgiref::{ChannelKind, ChannelName};

/// How many slots the ring has.
const SLOTS: u32 = 4096;

/// The servers in their configured order. Every process must have them in the same order.
///
/// Names are pinned as Python's layer pins them: the slot of a name is the low twelve bits of its
/// CRC-32, and the servers share the slots in runs of equal length. Normal channels are not
/// pinned: their messages go to each server in turn.
#[derive(Debug)]
pub(crate) struct Ring {
    size: usize,
    turn: AtomicUsize,
}

impl Ring {
    /// A ring of `size` servers; at least one.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size: size.max(1),
            turn: AtomicUsize::new(0),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.size
    }

    /// The server of a group, or of a channel named up to its `!`.
    pub(crate) fn index(&self, name: &str) -> usize {
        let slot = f64::from(crc32(name.as_bytes()) & (SLOTS - 1));
        // In floating point, because this is how the ring of the other processes is computed.
        (slot / (f64::from(SLOTS) / self.size as f64)) as usize
    }

    /// The server that a message to `channel` goes to.
    pub(crate) fn target(&self, channel: &ChannelName) -> usize {
        match channel.kind() {
            ChannelKind::Normal => self.next(),
            _ => self.index(channel.non_local()),
        }
    }

    /// The server that holds `channel`; `None` if all of them do.
    pub(crate) fn home(&self, channel: &ChannelName) -> Option<usize> {
        match channel.kind() {
            ChannelKind::Normal => None,
            _ => Some(self.index(channel.non_local())),
        }
    }

    /// The next server in turn.
    pub(crate) fn next(&self) -> usize {
        if self.size == 1 {
            return 0;
        }
        self.turn.fetch_add(1, Ordering::Relaxed) % self.size
    }
}

/// CRC-32 as in zlib (IEEE 802.3, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < table.len() {
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 {
                    0xedb8_8320 ^ (value >> 1)
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn names_are_pinned_as_the_python_layer_pins_them() {
        let file = include_str!("../tests/vectors/layers_redis_consistent_hash.json");
        let vectors: Value = serde_json::from_str(file).unwrap();
        let vectors = vectors["vectors"].as_array().unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let name = vector["name"].as_str().unwrap();
            assert_eq!(
                u64::from(crc32(name.as_bytes())),
                vector["crc32"].as_u64().unwrap(),
                "{name}"
            );
            for (size, index) in vector["index_by_ring_size"].as_object().unwrap() {
                let ring = Ring::new(size.parse().unwrap());
                assert_eq!(
                    ring.index(name) as u64,
                    index.as_u64().unwrap(),
                    "{name} of {size}"
                );
            }
        }
    }

    #[test]
    fn normal_channels_take_the_servers_in_turn_and_others_stay() {
        let ring = Ring::new(3);
        let normal = ChannelName::from_static("http.request");
        let turns: Vec<_> = (0..7).map(|_| ring.target(&normal)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(ring.home(&normal), None);
        let specific = ChannelName::from_static("http.response.AbCdEfGh!XyZ");
        assert_eq!(ring.home(&specific), Some(1));
        assert_eq!(ring.target(&specific), 1);
    }
}
