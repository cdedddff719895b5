//! Records that are in use, and those that are not.
//!
//! A bit for each record says whether it is in use. The free one with the lowest number is taken:
//! so what is in use lies close together, and what is taken one after the other side by side,
//! which is what caches are good at.

use crate::layout::{Map, Pool, client};
use crate::segment::{Checked, Damage};

use super::Locked;

impl Locked<'_> {
    /// Takes a record out of those that are free; nothing if there are none.
    pub(super) fn allocate(&self, pool: Pool) -> Checked<Option<u32>> {
        let taken = self.allocate_several(pool, 1)?;
        Ok(taken.map(|(first, bits)| first + bits.trailing_zeros()))
    }

    /// Takes `wanted` records, or fewer, out of those that are free; nothing if there are none. The
    /// first record of a word of the map, and a bit for each one taken from there on.
    pub(super) fn allocate_several(&self, pool: Pool, wanted: u32) -> Checked<Option<(u32, u64)>> {
        let map = self.layout().map(pool);
        let mut index = Some(self.get(pool.hint())?);
        while let Some(word) = index.filter(|index| *index < map.words()) {
            let used = self.get_long(map.word(word))?;
            let mut free = !used & map.records(word);
            if free != 0 {
                let mut bits = 0;
                for _ in 0..wanted {
                    bits |= free & free.wrapping_neg();
                    free &= free.wrapping_sub(1);
                }
                self.mark_used(pool, word, used | bits, bits)?;
                return Ok(Some((word * 64 + 1, bits)));
            }
            index = self.next_word(map, word)?;
        }
        self.set(pool.hint(), map.words())?;
        Ok(None)
    }

    /// Gives a record back that nothing leads to any more.
    pub(super) fn release(&self, pool: Pool, number: u32) -> Checked<()> {
        self.release_several(pool, &[number])
    }

    /// The same for several. Those that follow each other lie in the same word as a rule.
    pub(super) fn release_several(&self, pool: Pool, numbers: &[u32]) -> Checked<()> {
        let word_of = |number: u32| number.wrapping_sub(1) / 64;
        for numbers in numbers.chunk_by(|one, next| word_of(*one) == word_of(*next)) {
            let mut bits = 0;
            for number in numbers {
                // Checked, so that nothing outside the map is written to.
                self.layout().table(pool).at(*number)?;
                let bit = 1 << ((number - 1) % 64);
                if bits & bit != 0 {
                    return Err(Damage("a record is given back twice"));
                }
                bits |= bit;
            }
            self.mark_free(pool, word_of(numbers[0]), bits)?;
        }
        Ok(())
    }

    /// How many records can be taken.
    pub(super) fn available(&self, pool: Pool) -> Checked<u32> {
        let count = self.layout().table(pool).count;
        Ok(count.saturating_sub(self.get(pool.taken())?))
    }

    /// How many records are in use: neither free, nor at the hand of a client.
    pub(super) fn used(&self, pool: Pool) -> Checked<u32> {
        let held = match pool {
            Pool::Nodes => self.held(client::HELD_NODES)?,
            Pool::Blocks => self.held(client::HELD_BLOCKS)?,
            Pool::Channels | Pool::Groups | Pool::Memberships => 0,
        };
        Ok(self.get(pool.taken())?.saturating_sub(held))
    }

    /// The highest record ever used: there is nothing above it.
    pub(super) fn highest(&self, pool: Pool) -> Checked<u32> {
        Ok(self
            .get(pool.highest())?
            .min(self.layout().table(pool).count))
    }

    /// Says of all records of a pool whether they are in use: 64 of them with each word of `used`,
    /// none above.
    pub(super) fn set_used(&self, pool: Pool, used: &[u64]) -> Checked<()> {
        let map = self.layout().map(pool);
        self.segment().clear(map.start(), map.size())?;
        let (mut highest, mut taken) = (0, 0);
        for (word, bits) in (0..map.words()).zip(used) {
            let bits = bits & map.records(word);
            if bits != 0 {
                self.set_long(map.word(word), bits)?;
                self.set_full(map, word, bits == map.records(word))?;
                highest = word * 64 + 64 - bits.leading_zeros();
                taken += bits.count_ones();
            }
        }
        self.set(pool.hint(), 0)?;
        self.set(pool.highest(), highest)?;
        self.set(pool.taken(), taken)
    }

    fn mark_used(&self, pool: Pool, word: u32, used: u64, bits: u64) -> Checked<()> {
        let map = self.layout().map(pool);
        self.set_long(map.word(word), used)?;
        let full = used == map.records(word);
        if full {
            self.set_full(map, word, true)?;
        }
        self.set(pool.hint(), word + u32::from(full))?;
        let last = word * 64 + 64 - bits.leading_zeros();
        self.change(pool.highest(), |highest| highest.max(last))?;
        self.change(pool.taken(), |taken| {
            taken.saturating_add(bits.count_ones())
        })
    }

    fn mark_free(&self, pool: Pool, word: u32, bits: u64) -> Checked<()> {
        let map = self.layout().map(pool);
        let used = self.get_long(map.word(word))?;
        if used & bits != bits {
            return Err(Damage("a record is given back twice"));
        }
        self.set_long(map.word(word), used & !bits)?;
        self.set_full(map, word, false)?;
        self.change(pool.hint(), |hint| hint.min(word))?;
        self.change(pool.taken(), |taken| {
            taken.saturating_sub(bits.count_ones())
        })
    }

    /// The next word after this one that is not full.
    fn next_word(&self, map: Map, word: u32) -> Checked<Option<u32>> {
        let next = word + 1;
        let mut above = !0 << (next % 64);
        for group in next / 64..map.words().div_ceil(64) {
            let free = !self.get_long(map.full(group))? & above;
            if free != 0 {
                return Ok(Some(group * 64 + free.trailing_zeros()));
            }
            above = !0;
        }
        Ok(None)
    }

    /// Notes whether all records of a word are in use.
    fn set_full(&self, map: Map, word: u32, full: bool) -> Checked<()> {
        let at = map.full(word / 64);
        let (bits, bit) = (self.get_long(at)?, 1 << (word % 64));
        let after = if full { bits | bit } else { bits & !bit };
        if after != bits {
            self.set_long(at, after)?;
        }
        Ok(())
    }
}
