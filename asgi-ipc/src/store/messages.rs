//! Bytes of messages, in lists of blocks. A body is stored once, however many queues it is in.

use crate::layout::{Pool, block};
use crate::segment::{Checked, Damage};

use super::{Locked, Steps};

impl Locked<'_> {
    /// Stores `bytes` with one reference to them; nothing if there is no room.
    pub(super) fn store_body(&self, bytes: &[u8]) -> Checked<Option<u32>> {
        let needed = blocks_for(bytes.len());
        if needed > self.available(Pool::Blocks)? as usize {
            return Ok(None);
        }
        let (mut first, mut first_at, mut last_at) = (0, 0, 0);
        let mut rest = bytes;
        for _ in 0..needed {
            let number = self
                .allocate(Pool::Blocks)?
                .ok_or(Damage("fewer blocks are free than are counted"))?;
            let at = self.layout().blocks.at(number)?;
            let (part, after) = rest.split_at(rest.len().min(block::DATA_SIZE));
            self.segment().write(at + block::DATA, part)?;
            rest = after;
            if first == 0 {
                (first, first_at) = (number, at);
            } else {
                self.set(last_at + block::NEXT, number)?;
            }
            last_at = at;
        }
        self.set(last_at + block::NEXT, 0)?;
        self.set(first_at + block::LENGTH, bytes.len() as u32)?;
        self.set(first_at + block::REFERENCES, 1)?;
        Ok(Some(first))
    }

    /// The bytes of a body.
    pub(super) fn read_body(&self, first: u32) -> Checked<Vec<u8>> {
        let length = self.body_length(first)?;
        let mut bytes = Vec::with_capacity(length);
        let mut number = first;
        while bytes.len() < length {
            let part = (length - bytes.len()).min(block::DATA_SIZE);
            let at = self.layout().blocks.at(number)?;
            self.segment().read(at + block::DATA, part, &mut bytes)?;
            number = self.get(at + block::NEXT)?;
            if number == 0 && bytes.len() < length {
                return Err(Damage("a message is shorter than it should be"));
            }
        }
        Ok(bytes)
    }

    /// Adds a reference.
    pub(super) fn share_body(&self, first: u32) -> Checked<()> {
        let at = self.layout().blocks.at(first)?;
        self.change(at + block::REFERENCES, |count| count.saturating_add(1))
    }

    /// Takes a reference away; without any, the blocks are given back.
    pub(super) fn drop_body(&self, first: u32) -> Checked<()> {
        let at = self.layout().blocks.at(first)?;
        let references = self.get(at + block::REFERENCES)?;
        if references > 1 {
            return self.set(at + block::REFERENCES, references - 1);
        }
        let count = blocks_for(self.body_length(first)?);
        self.set(at + block::REFERENCES, 0)?;
        let mut number = first;
        for _ in 0..count {
            let next = self.get(self.layout().blocks.at(number)? + block::NEXT)?;
            self.release(Pool::Blocks, number)?;
            number = next;
        }
        Ok(())
    }

    /// Calls `visit` for each block of a body, whose length and list must agree.
    pub(super) fn visit_body(
        &self,
        first: u32,
        mut visit: impl FnMut(u32) -> Checked<()>,
    ) -> Checked<()> {
        let needed = blocks_for(self.body_length(first)?);
        let mut steps = Steps::new(self.layout().blocks.count);
        let (mut number, mut count) = (first, 0);
        while number != 0 {
            steps.step()?;
            visit(number)?;
            count += 1;
            number = self.get(self.layout().blocks.at(number)? + block::NEXT)?;
        }
        if count != needed {
            return Err(Damage(
                "a message has another number of blocks than it needs",
            ));
        }
        Ok(())
    }

    pub(super) fn body_length(&self, first: u32) -> Checked<usize> {
        let length = self.get(self.layout().blocks.at(first)? + block::LENGTH)? as usize;
        if length > self.layout().longest_message() {
            return Err(Damage("a message is longer than all memory"));
        }
        Ok(length)
    }
}

/// Even an empty body has a block: its record says that it is empty.
pub(super) const fn blocks_for(length: usize) -> usize {
    if length == 0 {
        1
    } else {
        length.div_ceil(block::DATA_SIZE)
    }
}
