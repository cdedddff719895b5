//! Where everything is in a segment: a header, and tables of records of fixed size.
//!
//! Records are numbered from 1; 0 is none, so that fresh memory, all zeroes, is an empty store.

use crate::segment::{Checked, Damage};

/// The first bytes of every segment.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"asgi-ipc");
/// The version of what this module and the `store` modules describe.
pub(crate) const VERSION: u32 = 4;
/// How numbers are written. Two programs that differ in this cannot share a segment. Nothing of a
/// C library is in the segment, so glibc and musl may differ.
pub(crate) const IDENTITY: u32 = u32::from_ne_bytes(*b"\x01\x02\x03\x04");

/// The header takes a page.
pub(crate) const HEADER_SIZE: usize = 4096;

/// Fields of the header that never change.
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 8;
    pub(crate) const IDENTITY: usize = 12;
    pub(crate) const MESSAGE_MEMORY: usize = 16;
    pub(crate) const GROUP_MEMORY: usize = 24;
    pub(crate) const TOTAL: usize = 32;
    /// A random number: names of files that belong to the segment, and the seed of its hashes.
    pub(crate) const ID: usize = 40;
    /// Milliseconds since 1970.
    pub(crate) const CREATED: usize = 48;
    pub(crate) const CHECKSUM: usize = 56;
    /// 1 when everything before is written.
    pub(crate) const READY: usize = 64;

    /// Who holds the lock. Alone in its pair of cache lines: processors fetch them in pairs.
    pub(crate) const LOCK: usize = 128;

    /// Set while something failed half-way: the next holder repairs.
    pub(crate) const DIRTY: usize = 256;
    /// Set while everything is being removed.
    pub(crate) const FLUSHING: usize = 260;
    /// How often the segment was repaired.
    pub(crate) const REPAIRS: usize = 264;
    /// The channel, and the membership, looked at last for something to give back. Apart from what
    /// is read by everyone and seldom changed, as it is in the processors' caches by lines.
    pub(crate) const CHANNEL_HAND: usize = 384;
    pub(crate) const MEMBERSHIP_HAND: usize = 388;
    /// When everything was looked at last because memory was full.
    pub(crate) const RECLAIMED: usize = 392;
    /// The five pools, two cache lines each: the first word of its map that may have a free record,
    /// the highest record ever used, and how many are taken.
    pub(crate) const POOLS: usize = 512;
    pub(crate) const POOL_SIZE: usize = 128;
    /// Counters of the channels that are forgotten.
    pub(crate) const SENT: usize = 1152;
    pub(crate) const FULL: usize = 1176;
}

/// A counter: total, the second counted in, how many in it and how many in the one before.
pub(crate) mod counter {
    pub(crate) const TOTAL: usize = 0;
    pub(crate) const SECOND: usize = 8;
    pub(crate) const THIS: usize = 16;
    pub(crate) const PREVIOUS: usize = 20;
}

/// Fields of the record of a process (of one layer in a process).
pub(crate) mod client {
    /// How often the record was taken; part of the owner's mark in the lock.
    pub(crate) const INCARNATION: usize = 0;
    /// Its process number, 0 if nobody has the record.
    pub(crate) const PID: usize = 4;
    /// Milliseconds since 1970.
    pub(crate) const STARTED: usize = 8;
    /// When it was woken, in milliseconds, if it has not looked yet; else 0.
    pub(crate) const SIGNALLED: usize = 16;
    /// How many channels it is to look at; more than fit means all.
    pub(crate) const NEWS: usize = 20;
    pub(crate) const NEWS_LIST: usize = 24;
    pub(crate) const NEWS_MAX: u32 = 58;
    /// Places in queues, and blocks, that it has at hand: nobody else uses them. Zero is none.
    pub(crate) const HELD_NODES: usize = 256;
    pub(crate) const HELD_BLOCKS: usize = 512;
    pub(crate) const HELD_MAX: usize = 64;
    pub(crate) const SIZE: usize = 768;
}

/// Fields of a channel's record: of one queue, with the name up to the `!`.
///
/// Processors fetch cache lines in pairs, so what senders change is in one pair (with who waits,
/// which changes seldom), what stays as it is in others, and what receivers change in the last.
pub(crate) mod channel {
    /// The newest message.
    pub(crate) const TAIL: usize = 0;
    /// How many messages were ever put in, and how many of these were taken out as far as senders
    /// know.
    pub(crate) const PUT: usize = 4;
    pub(crate) const TAKEN: usize = 8;
    /// The client woken last.
    pub(crate) const WOKEN: usize = 12;
    /// One bit for each client that waits.
    pub(crate) const WAITING: usize = 16;
    /// Memberships of this channel.
    pub(crate) const MEMBERS: usize = 48;
    /// No message is over before this time.
    pub(crate) const FRESH_UNTIL: usize = 56;
    /// When it was used last.
    pub(crate) const USED: usize = 64;
    pub(crate) const SENT: usize = 72;
    pub(crate) const FULL: usize = 96;
    /// The next of the same hash.
    pub(crate) const NEXT: usize = 128;
    pub(crate) const HASH: usize = 132;
    pub(crate) const NAME_LENGTH: usize = 136;
    pub(crate) const STATE: usize = 140;
    pub(crate) const NAME: usize = 144;
    /// The oldest message, and how many were taken before it. Changed without the lock too.
    pub(crate) const FRONT: usize = 384;
    pub(crate) const SIZE: usize = 512;
}

/// Fields of the record of a message in one queue.
pub(crate) mod node {
    pub(crate) const NEXT: usize = 0;
    pub(crate) const BODY: usize = 4;
    /// One more than the bytes of the body, if it is a single block and in no other queue; else 0.
    pub(crate) const ALONE: usize = 8;
    pub(crate) const SENT: usize = 16;
    pub(crate) const EXPIRES: usize = 24;
    pub(crate) const LOCAL: usize = 32;
    pub(crate) const SIZE: usize = 64;
}

/// A local part: length, a body if it is longer than what follows, the bytes.
pub(crate) mod local {
    pub(crate) const LENGTH: usize = 0;
    pub(crate) const BODY: usize = 4;
    pub(crate) const INLINE: usize = 8;
    pub(crate) const INLINE_SIZE: usize = 24;
}

/// Fields of a block of message bytes. `REFERENCES` and `LENGTH` are in use in the first block of
/// a body only.
pub(crate) mod block {
    pub(crate) const NEXT: usize = 0;
    pub(crate) const REFERENCES: usize = 4;
    pub(crate) const LENGTH: usize = 8;
    /// Where the bytes of the message begin, and how many they are.
    pub(crate) const DATA: usize = 16;
    pub(crate) const DATA_SIZE: usize = SIZE - DATA;
    pub(crate) const SIZE: usize = 256;
}

/// Fields of a group's record.
pub(crate) mod group {
    pub(crate) const STATE: usize = 0;
    pub(crate) const NEXT: usize = 4;
    /// The first membership.
    pub(crate) const HEAD: usize = 8;
    pub(crate) const COUNT: usize = 12;
    pub(crate) const HASH: usize = 16;
    pub(crate) const NAME_LENGTH: usize = 20;
    pub(crate) const NAME: usize = 24;
    pub(crate) const SIZE: usize = 224;
}

/// Fields of a membership's record.
pub(crate) mod membership {
    pub(crate) const STATE: usize = 0;
    pub(crate) const GROUP: usize = 8;
    pub(crate) const CHANNEL: usize = 12;
    /// The list of the group, and the list of those of the same member's hash.
    pub(crate) const GROUP_PREVIOUS: usize = 16;
    pub(crate) const GROUP_NEXT: usize = 20;
    pub(crate) const MEMBER_PREVIOUS: usize = 24;
    pub(crate) const MEMBER_NEXT: usize = 28;
    /// The list of those of the same hash of group and member.
    pub(crate) const PAIR_PREVIOUS: usize = 32;
    pub(crate) const PAIR_NEXT: usize = 36;
    pub(crate) const MEMBER_HASH: usize = 40;
    pub(crate) const PAIR_HASH: usize = 44;
    pub(crate) const ADDED: usize = 48;
    pub(crate) const UNTIL: usize = 56;
    pub(crate) const LOCAL: usize = 64;
    pub(crate) const SIZE: usize = 96;
}

/// `STATE` of a record that is in use.
pub(crate) const LIVE: u32 = 1;

/// Clients that may have a segment open at the same time.
pub(crate) const MAX_CLIENTS: u32 = 256;

/// Records of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    start: usize,
    size: usize,
    pub(crate) count: u32,
}

impl Table {
    /// Where the record `number` begins.
    pub(crate) const fn at(self, number: u32) -> Checked<usize> {
        if number == 0 || number > self.count {
            return Err(Damage("a link points out of its table"));
        }
        Ok(self.start + (number as usize - 1) * self.size)
    }

    const fn end(self) -> usize {
        self.start + self.count as usize * self.size
    }

    const fn after(before: usize, size: usize, count: u32) -> Self {
        let start = before.next_multiple_of(128);
        Self { start, size, count }
    }
}

/// The first records of lists, by hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets {
    start: usize,
    /// A power of two.
    count: u32,
}

impl Buckets {
    pub(crate) const fn at(self, hash: u32) -> usize {
        self.start + (hash & (self.count - 1)) as usize * 4
    }

    pub(crate) const fn start(self) -> usize {
        self.start
    }

    pub(crate) const fn size(self) -> usize {
        self.count as usize * 4
    }

    const fn after(before: usize, records: u32) -> Self {
        let start = before.next_multiple_of(64);
        // At least two, so that the table is a whole number of long words.
        let count = if records < 2 {
            2
        } else {
            records.next_power_of_two()
        };
        Self { start, count }
    }

    const fn end(self) -> usize {
        self.start + self.size()
    }
}

/// A bit for each record of a table, in words of eight bytes: whether it is in use. Behind these a
/// bit for each word: whether all of its records are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map {
    start: usize,
    records: u32,
}

impl Map {
    pub(crate) const fn words(self) -> u32 {
        self.records.div_ceil(64)
    }

    /// Where the bits of the records from `64 * word + 1` are.
    pub(crate) const fn word(self, word: u32) -> usize {
        self.start + word as usize * 8
    }

    /// Those bits of a word that stand for records.
    pub(crate) const fn records(self, word: u32) -> u64 {
        match self.records - 64 * word {
            left @ 0..64 => (1 << left) - 1,
            _ => u64::MAX,
        }
    }

    /// Where the bits of the words from `64 * group` are.
    pub(crate) const fn full(self, group: u32) -> usize {
        self.word(self.words()) + group as usize * 8
    }

    pub(crate) const fn start(self) -> usize {
        self.start
    }

    pub(crate) const fn size(self) -> usize {
        self.full(self.words().div_ceil(64)) - self.start
    }

    const fn after(before: usize, records: u32) -> Self {
        let start = before.next_multiple_of(64);
        Self { start, records }
    }
}

/// A kind of record that is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    Channels,
    Nodes,
    Blocks,
    Groups,
    Memberships,
}

impl Pool {
    pub(crate) const ALL: [Self; 5] = [
        Self::Channels,
        Self::Nodes,
        Self::Blocks,
        Self::Groups,
        Self::Memberships,
    ];

    /// No word of the map before this one has a free record.
    pub(crate) const fn hint(self) -> usize {
        header::POOLS + self as usize * header::POOL_SIZE
    }

    /// The highest record ever used.
    pub(crate) const fn highest(self) -> usize {
        self.hint() + 4
    }

    /// How many records are not free.
    pub(crate) const fn taken(self) -> usize {
        self.hint() + 8
    }
}

/// The tables of a segment. Follows from the two sizes the segment was made with.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) message_memory: u64,
    pub(crate) group_memory: u64,
    pub(crate) clients: Table,
    pub(crate) channels: Table,
    pub(crate) channel_buckets: Buckets,
    pub(crate) nodes: Table,
    pub(crate) blocks: Table,
    pub(crate) groups: Table,
    pub(crate) group_buckets: Buckets,
    pub(crate) memberships: Table,
    pub(crate) member_buckets: Buckets,
    pub(crate) pair_buckets: Buckets,
    /// For each pool which records are in use.
    maps: [Map; 5],
    /// Size of the whole segment in bytes.
    pub(crate) total: usize,
}

/// The least message memory, in bytes: 256 KiB.
pub(crate) const MIN_MESSAGE_MEMORY: u64 = 256 << 10;
/// The least group memory, in bytes: 64 KiB.
pub(crate) const MIN_GROUP_MEMORY: u64 = 64 << 10;
/// The most of either, in bytes: 64 GiB. The numbers of all records then fit their fields.
pub(crate) const MAX_MEMORY: u64 = 64 << 30;

impl Layout {
    /// Lays out a segment. Of the message memory, an eighth is for channels; of the group memory,
    /// a quarter for groups. A message that is sent to a group is stored once but is in many
    /// queues, so there are two places in queues for three blocks of bytes and more.
    ///
    /// The sizes must be within the limits of this module.
    pub(crate) fn new(message_memory: u64, group_memory: u64) -> Self {
        let share = |memory: u64, parts: u64, of: u64, size: usize| {
            u32::try_from(memory / of * parts / size as u64).unwrap_or(u32::MAX - 1)
        };
        // With what a record takes in the map, a bit, and in the tables of buckets: between four
        // and eight bytes for each.
        let channels = share(message_memory, 1, 8, channel::SIZE + 9);
        let unit = 2 * block::SIZE + 3 * node::SIZE + 1;
        let units = share(message_memory, 7, 8, unit);
        let groups = share(group_memory, 1, 4, group::SIZE + 9);
        let memberships = share(group_memory, 3, 4, membership::SIZE + 17);

        let clients = Table::after(HEADER_SIZE, client::SIZE, MAX_CLIENTS);
        let channel_buckets = Buckets::after(clients.end(), channels);
        let channels = Table::after(channel_buckets.end(), channel::SIZE, channels);
        let nodes = Table::after(channels.end(), node::SIZE, units * 3);
        let blocks = Table::after(nodes.end(), block::SIZE, units * 2);
        let group_buckets = Buckets::after(blocks.end(), groups);
        let groups = Table::after(group_buckets.end(), group::SIZE, groups);
        let member_buckets = Buckets::after(groups.end(), memberships);
        let pair_buckets = Buckets::after(member_buckets.end(), memberships);
        let memberships = Table::after(pair_buckets.end(), membership::SIZE, memberships);
        let mut end = memberships.end();
        let maps = [channels, nodes, blocks, groups, memberships].map(|table| {
            let map = Map::after(end, table.count);
            end = map.start + map.size();
            map
        });
        Self {
            message_memory,
            group_memory,
            clients,
            channels,
            channel_buckets,
            nodes,
            blocks,
            groups,
            group_buckets,
            memberships,
            member_buckets,
            pair_buckets,
            maps,
            total: end.next_multiple_of(HEADER_SIZE),
        }
    }

    pub(crate) const fn table(&self, pool: Pool) -> Table {
        match pool {
            Pool::Channels => self.channels,
            Pool::Nodes => self.nodes,
            Pool::Blocks => self.blocks,
            Pool::Groups => self.groups,
            Pool::Memberships => self.memberships,
        }
    }

    /// Which records are in use.
    pub(crate) const fn map(&self, pool: Pool) -> Map {
        self.maps[pool as usize]
    }

    /// The longest encoded message, in bytes: half of what all blocks hold.
    pub(crate) const fn longest_message(&self) -> usize {
        self.blocks.count as usize / 2 * block::DATA_SIZE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_follow_each_other_and_fit() {
        for (message_memory, group_memory) in [
            (MIN_MESSAGE_MEMORY, MIN_GROUP_MEMORY),
            (40 << 20, 8 << 20),
            (1 << 30, 100 << 20),
            (MAX_MEMORY, MAX_MEMORY),
        ] {
            let layout = Layout::new(message_memory, group_memory);
            let mut before = HEADER_SIZE;
            for (start, end) in [
                (layout.clients.start, layout.clients.end()),
                (layout.channel_buckets.start, layout.channel_buckets.end()),
                (layout.channels.start, layout.channels.end()),
                (layout.nodes.start, layout.nodes.end()),
                (layout.blocks.start, layout.blocks.end()),
                (layout.group_buckets.start, layout.group_buckets.end()),
                (layout.groups.start, layout.groups.end()),
                (layout.member_buckets.start, layout.member_buckets.end()),
                (layout.pair_buckets.start, layout.pair_buckets.end()),
                (layout.memberships.start, layout.memberships.end()),
                (layout.maps[0].start, layout.maps[0].start + 8),
                (layout.maps[4].start, layout.maps[4].start + 8),
            ] {
                assert!(start >= before && start.is_multiple_of(64));
                assert!(end > start);
                before = end;
            }
            assert!(layout.total >= before);
            let asked = (message_memory + group_memory) as usize;
            // Between the two are the tables of clients and the rounding of the buckets.
            assert!(layout.total <= asked + asked / 8 + 256 * 1024, "{layout:?}");
        }
    }

    #[test]
    fn fields_do_not_overlap_the_next_record() {
        const { assert!(channel::NAME + 200 <= channel::FRONT) };
        const { assert!(group::NAME + 200 <= group::SIZE) };
        const LOCAL: usize = local::INLINE + local::INLINE_SIZE;
        const { assert!(node::LOCAL + LOCAL <= node::SIZE) };
        const { assert!(membership::LOCAL + LOCAL <= membership::SIZE) };
        const { assert!(client::NEWS_LIST + 4 * client::NEWS_MAX as usize <= client::HELD_NODES) };
        const { assert!(client::HELD_NODES + 4 * client::HELD_MAX <= client::HELD_BLOCKS) };
        const { assert!(client::HELD_BLOCKS + 4 * client::HELD_MAX <= client::SIZE) };
        const { assert!(channel::WAITING + MAX_CLIENTS as usize / 8 <= channel::MEMBERS) };
        const { assert!(channel::FULL + 24 <= channel::NEXT) };
        const { assert!(channel::FRONT + 8 <= channel::SIZE) };
        const { assert!(header::POOLS + 5 * header::POOL_SIZE <= header::SENT) };
    }

    #[test]
    fn records_outside_their_table_are_damage() {
        let layout = Layout::new(MIN_MESSAGE_MEMORY, MIN_GROUP_MEMORY);
        let nodes = layout.nodes;
        assert!(nodes.at(0).is_err());
        assert!(nodes.at(1).is_ok());
        assert!(nodes.at(nodes.count).is_ok());
        assert!(nodes.at(nodes.count + 1).is_err());
        assert!(nodes.at(u32::MAX).is_err());
    }
}
