//! Names in records: whole ones, and local parts.

use std::hash::Hasher;

use crate::layout::local;
use crate::segment::{Checked, Damage};

use asgiref::MAX_NAME_LENGTH;

use super::{Locked, Store};

impl Locked<'_> {
    /// The hash of a name. Differs from segment to segment.
    pub(super) fn hash(&self, name: &[u8]) -> u32 {
        hash(self.store.seed, name)
    }

    /// The hash of the name made of a channel's (by its hash) and a local part.
    pub(super) fn hash_member(&self, channel: u32, local: &[u8]) -> u32 {
        hash(self.store.seed ^ u64::from(channel), local)
    }

    /// Writes a name into a record.
    pub(super) fn write_name(&self, length: usize, bytes: usize, name: &[u8]) -> Checked<()> {
        self.segment().write(bytes, name)?;
        self.set(length, name.len() as u32)
    }

    /// The name in a record.
    pub(super) fn read_name(&self, length: usize, bytes: usize) -> Checked<String> {
        let length = self.name_length(length)?;
        let mut name = Vec::with_capacity(MAX_NAME_LENGTH);
        self.segment().read(bytes, length, &mut name)?;
        String::from_utf8(name).map_err(|_| Damage("a name is not text"))
    }

    pub(super) fn is_named(&self, length: usize, bytes: usize, name: &[u8]) -> Checked<bool> {
        self.store.is_named(length, bytes, name)
    }

    /// Writes a local part at `at`; false if there is no room for one that is long.
    pub(super) fn write_local(&self, at: usize, local: &[u8]) -> Checked<bool> {
        let body = if local.len() <= local::INLINE_SIZE {
            self.segment().write(at + local::INLINE, local)?;
            0
        } else {
            match self.store_body(local)? {
                Some(body) => body,
                None => return Ok(false),
            }
        };
        self.set(at + local::BODY, body)?;
        self.set(at + local::LENGTH, local.len() as u32)?;
        Ok(true)
    }

    pub(super) fn read_local(&self, at: usize) -> Checked<Vec<u8>> {
        let length = self.local_length(at)?;
        let mut bytes = Vec::new();
        if length <= local::INLINE_SIZE {
            self.segment()
                .read(at + local::INLINE, length, &mut bytes)?;
        } else {
            bytes = self.read_body(self.get(at + local::BODY)?)?;
            if bytes.len() != length {
                return Err(Damage("a local part has another length than its name"));
            }
        }
        Ok(bytes)
    }

    pub(super) fn is_local(&self, at: usize, local: &[u8]) -> Checked<bool> {
        if self.get(at + local::LENGTH)? as usize != local.len() {
            return Ok(false);
        }
        if local.len() <= local::INLINE_SIZE {
            self.segment().holds(at + local::INLINE, local)
        } else {
            Ok(self.read_local(at)? == local)
        }
    }

    /// Gives back what a local part takes outside its record.
    pub(super) fn free_local(&self, at: usize) -> Checked<()> {
        match self.get(at + local::BODY)? {
            0 => Ok(()),
            body => self.drop_body(body),
        }
    }

    /// How long a local part is.
    pub(super) fn local_length(&self, at: usize) -> Checked<usize> {
        self.name_length(at + local::LENGTH)
    }

    fn name_length(&self, at: usize) -> Checked<usize> {
        let length = self.get(at)? as usize;
        if length > MAX_NAME_LENGTH {
            return Err(Damage("a name is too long"));
        }
        Ok(length)
    }
}

impl Store {
    pub(super) fn is_named(&self, length: usize, bytes: usize, name: &[u8]) -> Checked<bool> {
        Ok(self.segment.load(length)? as usize == name.len() && self.segment.holds(bytes, name)?)
    }
}

/// The hash a group and one of its members have together.
pub(super) fn hash_pair(group: u32, member: u32) -> u32 {
    let mut hasher = Mixer(u64::from(group) << 32 | u64::from(member));
    hasher.mix();
    (hasher.finish() >> 32) as u32
}

pub(super) fn hash(seed: u64, name: &[u8]) -> u32 {
    let mut hasher = Mixer(seed ^ name.len() as u64);
    hasher.write(name);
    (hasher.finish() >> 32) as u32
}

/// A fast hash, the same in all processes. The seed is random, so that names cannot be chosen to
/// fall together by those who do not know it.
struct Mixer(u64);

impl Mixer {
    fn mix(&mut self) {
        self.0 = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut long = [0; 8];
            long[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.wrapping_add(u64::from_le_bytes(long));
            self.mix();
        }
        self.mix();
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
