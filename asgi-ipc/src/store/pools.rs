//! Records that are in use, and those that are not.

use crate::layout::Pool;
use crate::segment::Checked;

use super::Locked;

impl Locked<'_> {
    /// Takes a record out of those that are free; nothing if there are none.
    pub(super) fn allocate(&self, pool: Pool) -> Checked<Option<u32>> {
        let table = self.layout().table(pool);
        let free = self.get(pool.free())?;
        let number = if free != 0 {
            let next = self.get(table.at(free)? + pool.next())?;
            self.set(pool.free(), next)?;
            free
        } else {
            let highest = self.get(pool.highest())?;
            if highest >= table.count {
                return Ok(None);
            }
            self.set(pool.highest(), highest + 1)?;
            highest + 1
        };
        self.change(pool.used(), |used| used.saturating_add(1))?;
        Ok(Some(number))
    }

    /// Gives a record back that nothing leads to any more.
    pub(super) fn release(&self, pool: Pool, number: u32) -> Checked<()> {
        self.release_list(pool, number, number, 1)
    }

    /// The same for `count` records that are linked already.
    pub(super) fn release_list(
        &self,
        pool: Pool,
        first: u32,
        last: u32,
        count: u32,
    ) -> Checked<()> {
        let free = self.get(pool.free())?;
        self.set(self.layout().table(pool).at(last)? + pool.next(), free)?;
        self.set(pool.free(), first)?;
        self.change(pool.used(), |used| used.saturating_sub(count))
    }

    /// How many records are free.
    pub(super) fn available(&self, pool: Pool) -> Checked<u32> {
        let used = self.get(pool.used())?;
        Ok(self.layout().table(pool).count.saturating_sub(used))
    }

    /// The highest record ever used: there is nothing above it.
    pub(super) fn highest(&self, pool: Pool) -> Checked<u32> {
        Ok(self
            .get(pool.highest())?
            .min(self.layout().table(pool).count))
    }
}
