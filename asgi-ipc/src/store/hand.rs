//! Records a client has at hand, so that messages are written before the lock is asked for and
//! read after it was released.
//!
//! A client takes several free places and blocks at a time. What it takes out of a queue it has
//! at hand too, until it has read it. The numbers are written down in the client's record: a
//! repair leaves what the living have at hand alone, and gives back what the dead had.

use std::cell::RefMut;
use std::sync::MutexGuard;

use crate::clock::Time;
use crate::layout::{MAX_CLIENTS, Pool, block, client, header, local, node};
use crate::segment::Checked;

use super::channels::Outgoing;
use super::messages::blocks_for;
use super::{Locked, Store};

/// How many records are taken at a time at most.
const BATCH: u32 = 20;
/// How many bytes of a block are fetched for the next message.
const SHORT: usize = 128;
const CACHE_LINE: usize = 64;

/// What a client has at hand. Who holds it does something in the store; others of the same
/// process wait.
pub(super) struct Hand {
    pub(super) nodes: Cells,
    pub(super) blocks: Cells,
}

/// Records of one kind.
pub(super) struct Cells {
    pool: Pool,
    numbers: Vec<u32>,
    /// Where they are written down.
    at: usize,
    /// How many are taken, and kept.
    batch: usize,
}

/// A message that is written, and not in a queue yet. It is made of what was got last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prepared {
    pub(super) node: u32,
    pub(super) expires: Time,
    blocks: usize,
}

impl Hand {
    /// `client` is where the client's record begins; the tables have so many records.
    pub(super) fn new(client: usize, nodes: u32, blocks: u32) -> Self {
        let cells = |pool, at, count: u32| Cells {
            pool,
            numbers: Vec::with_capacity(client::HELD_MAX),
            at: client + at,
            batch: (count / 128).clamp(1, BATCH) as usize,
        };
        Self {
            nodes: cells(Pool::Nodes, client::HELD_NODES, nodes),
            blocks: cells(Pool::Blocks, client::HELD_BLOCKS, blocks),
        }
    }

    /// Whether there is room for another message.
    pub(super) const fn have_room(&self) -> bool {
        self.nodes.has_room() && self.blocks.has_room()
    }

    /// Writes down that a place and a block are in use that are about to be taken out of a queue.
    /// There must be room.
    pub(super) fn note(&self, store: &Store, node: u32, block: u32) -> Checked<()> {
        self.nodes.note(store, node)?;
        self.blocks.note(store, block)
    }

    /// They were not taken.
    pub(super) fn forget_note(&self, store: &Store) -> Checked<()> {
        self.nodes.note(store, 0)?;
        self.blocks.note(store, 0)
    }

    /// They were.
    pub(super) fn keep(&mut self, node: u32, block: u32) {
        self.nodes.numbers.push(node);
        self.blocks.numbers.push(block);
    }
}

impl Cells {
    const fn has_room(&self) -> bool {
        self.numbers.len() < 3 * self.batch
    }

    /// Writes a number down after those that are at hand.
    fn note(&self, store: &Store, number: u32) -> Checked<()> {
        let at = self.at + 4 * self.numbers.len();
        store.segment.store(at, number)
    }

    /// Notes what is at hand from now on.
    fn push(&mut self, locked: &Locked<'_>, number: u32) -> Checked<()> {
        locked.layout().table(self.pool).at(number)?;
        self.note(locked.store, number)?;
        self.numbers.push(number);
        Ok(())
    }

    /// Notes that it is not any more.
    fn pop(&mut self, locked: &Locked<'_>) -> Checked<Option<u32>> {
        let Some(number) = self.numbers.pop() else {
            return Ok(None);
        };
        locked.set(self.at + 4 * self.numbers.len(), 0)?;
        Ok(Some(number))
    }

    /// Takes so many that there are enough for what usually comes next.
    fn fill(&mut self, locked: &Locked<'_>) -> Checked<()> {
        if self.numbers.len() > self.batch / 2 {
            return Ok(());
        }
        while let Some(wanted @ 1..) = self.batch.checked_sub(self.numbers.len()) {
            let Some((first, mut bits)) = locked.allocate_several(self.pool, wanted as u32)? else {
                break;
            };
            while bits != 0 {
                self.push(locked, first + bits.trailing_zeros())?;
                bits &= bits - 1;
            }
        }
        Ok(())
    }

    /// Gives all back but `keep`.
    fn give_back(&mut self, locked: &Locked<'_>, keep: usize) -> Checked<()> {
        if self.numbers.len() <= keep {
            return Ok(());
        }
        let numbers = self.numbers.split_off(keep);
        for index in 0..numbers.len() {
            locked.set(self.at + 4 * (keep + index), 0)?;
        }
        locked.release_several(self.pool, &numbers)
    }

    /// The record that was got last but `before`.
    fn last(&self, before: usize) -> Option<u32> {
        let index = self.numbers.len().checked_sub(before + 1)?;
        Some(self.numbers[index])
    }
}

impl Store {
    /// Writes a message into what is at hand; nothing if that is not enough.
    pub(super) fn prepare(
        &self,
        hand: &Hand,
        outgoing: &Outgoing<'_>,
        now: Time,
    ) -> Checked<Option<Prepared>> {
        let (local_part, message) = (outgoing.local.as_bytes(), outgoing.message);
        let needed = blocks_for(message.len());
        let Some(node) = hand.nodes.last(0) else {
            return Ok(None);
        };
        if local_part.len() > local::INLINE_SIZE || hand.blocks.numbers.len() < needed {
            return Ok(None);
        }
        let segment = &self.segment;
        let mut first = 0;
        // From the end: each is written with what comes after it.
        for index in 0..needed {
            let Some(number) = hand.blocks.last(index) else {
                return Ok(None);
            };
            let at = self.layout.blocks.at(number)?;
            let start = (needed - 1 - index) * block::DATA_SIZE;
            let end = message.len().min(start + block::DATA_SIZE);
            segment.write(at + block::DATA, &message[start..end])?;
            segment.store(at + block::NEXT, first)?;
            first = number;
        }
        let first_at = self.layout.blocks.at(first)?;
        segment.store(first_at + block::LENGTH, message.len() as u32)?;
        segment.store(first_at + block::REFERENCES, 1)?;
        let node_at = self.layout.nodes.at(node)?;
        let alone = if needed == 1 { message.len() + 1 } else { 0 };
        segment.write(node_at + node::LOCAL + local::INLINE, local_part)?;
        segment.store(node_at + node::LOCAL + local::BODY, 0)?;
        segment.store(
            node_at + node::LOCAL + local::LENGTH,
            local_part.len() as u32,
        )?;
        segment.store(node_at + node::BODY, first)?;
        segment.store(node_at + node::ALONE, alone as u32)?;
        segment.store_long(node_at + node::SENT, now.0)?;
        let expires = now.after(outgoing.expiry);
        segment.store_long(node_at + node::EXPIRES, expires.0)?;
        segment.store(node_at + node::NEXT, 0)?;
        Ok(Some(Prepared {
            node,
            expires,
            blocks: needed,
        }))
    }
}

impl Store {
    /// Lets the processor fetch what the next messages will be written to, which the last reader
    /// has in its cache, while they are being made.
    pub(super) fn prefetch_hand(&self, hand: &Hand) {
        for before in 0..2 {
            let node = hand.nodes.last(before);
            if let Some(at) = node.and_then(|node| self.layout.nodes.at(node).ok()) {
                self.segment.prefetch_to_write(at);
            }
            let block = hand.blocks.last(before);
            if let Some(at) = block.and_then(|block| self.layout.blocks.at(block).ok()) {
                for line in 0..SHORT / CACHE_LINE {
                    self.segment.prefetch_to_write(at + line * CACHE_LINE);
                }
            }
        }
    }
}

impl<'a> Locked<'a> {
    pub(super) fn hand(&self) -> RefMut<'_, MutexGuard<'a, Hand>> {
        self.hand.borrow_mut()
    }

    /// Whether what was prepared is still what was got last.
    pub(super) fn is_at_hand(&self, prepared: Prepared) -> bool {
        let hand = self.hand();
        hand.nodes.last(0) == Some(prepared.node) && hand.blocks.numbers.len() >= prepared.blocks
    }

    /// Has a place and a block at hand that were in a queue.
    pub(super) fn get_hold(&self, node: u32, block: u32) -> Checked<()> {
        let mut hand = self.hand();
        hand.nodes.push(self, node)?;
        hand.blocks.push(self, block)
    }

    /// A message that was prepared is in a queue: it is not at hand any more.
    pub(super) fn hand_over(&self, prepared: Prepared) -> Checked<()> {
        let mut hand = self.hand();
        hand.nodes.pop(self)?;
        for _ in 0..prepared.blocks {
            hand.blocks.pop(self)?;
        }
        hand.nodes.fill(self)?;
        hand.blocks.fill(self)
    }

    /// Takes what the next messages will need.
    pub(super) fn fill_hand(&self) -> Checked<()> {
        let mut hand = self.hand();
        hand.nodes.fill(self)?;
        hand.blocks.fill(self)
    }

    /// Gives back so much of what is at hand that there is room for more.
    pub(super) fn make_room(&self) -> Checked<()> {
        let mut hand = self.hand();
        let hand = &mut **hand;
        for cells in [&mut hand.nodes, &mut hand.blocks] {
            if cells.numbers.len() > 2 * cells.batch {
                cells.give_back(self, cells.batch)?;
            }
        }
        Ok(())
    }

    /// Gives back all that is at hand.
    pub(super) fn empty_hand(&self) -> Checked<()> {
        let mut hand = self.hand();
        hand.nodes.give_back(self, 0)?;
        hand.blocks.give_back(self, 0)
    }

    /// Forgets what is at hand without giving it back: others use it too, as something else wrote
    /// into the segment.
    pub(super) fn drop_hand(&self) -> Checked<()> {
        let mut hand = self.hand();
        hand.nodes.numbers.clear();
        hand.blocks.numbers.clear();
        self.forget_held(self.store.slot).map(|_| ())
    }

    /// Calls `visit` for what a client has at hand.
    pub(super) fn visit_held(
        &self,
        slot: u32,
        list: usize,
        mut visit: impl FnMut(u32),
    ) -> Checked<()> {
        let at = self.layout().clients.at(slot)? + list;
        for index in 0..client::HELD_MAX {
            match self.get(at + 4 * index)? {
                0 => {}
                number => visit(number),
            }
        }
        Ok(())
    }

    /// Forgets what a client that is gone had at hand, which a repair then gives back; whether it
    /// had anything.
    pub(super) fn forget_held(&self, slot: u32) -> Checked<bool> {
        let mut any = false;
        for list in [client::HELD_NODES, client::HELD_BLOCKS] {
            self.visit_held(slot, list, |_| any = true)?;
        }
        if any {
            self.set(header::DIRTY, 1)?;
            let at = self.layout().clients.at(slot)?;
            self.segment()
                .clear(at + client::HELD_NODES, 4 * client::HELD_MAX)?;
            self.segment()
                .clear(at + client::HELD_BLOCKS, 4 * client::HELD_MAX)?;
        }
        Ok(any)
    }

    /// How many records of a kind all clients have at hand.
    pub(super) fn held(&self, list: usize) -> Checked<u32> {
        let mut count = 0;
        for slot in 1..=MAX_CLIENTS {
            self.visit_held(slot, list, |_| count += 1)?;
        }
        Ok(count)
    }
}
