//! Running totals, and how much of each came in the last full second.

use crate::layout::counter;
use crate::segment::Checked;

use super::Locked;

/// What a counter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) total: u64,
    /// In the last full second.
    pub(crate) last_second: u64,
}

impl Figures {
    /// The sum of two.
    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            last_second: self.last_second.saturating_add(other.last_second),
        }
    }
}

impl Locked<'_> {
    /// Counts `amount` in the counter at `at`.
    pub(super) fn count(&self, at: usize, amount: u32) -> Checked<()> {
        let second = self.now.second();
        if self.get_long(at + counter::SECOND)? != second {
            let previous = self.last_second(at)?;
            self.set(at + counter::PREVIOUS, previous)?;
            self.set(at + counter::THIS, 0)?;
            self.set_long(at + counter::SECOND, second)?;
        }
        self.add_to_total(at, amount.into())?;
        self.change(at + counter::THIS, |this| this.saturating_add(amount))
    }

    /// Adds what was not counted just now.
    pub(super) fn add_to_total(&self, at: usize, amount: u64) -> Checked<()> {
        let total = self.get_long(at + counter::TOTAL)?;
        self.set_long(at + counter::TOTAL, total.saturating_add(amount))
    }

    pub(super) fn figures(&self, at: usize) -> Checked<Figures> {
        Ok(Figures {
            total: self.get_long(at + counter::TOTAL)?,
            last_second: self.last_second(at)?.into(),
        })
    }

    pub(super) fn clear_counter(&self, at: usize) -> Checked<()> {
        self.segment().clear(at, 24)
    }

    fn last_second(&self, at: usize) -> Checked<u32> {
        let counted = self.get_long(at + counter::SECOND)?;
        match self.now.second().saturating_sub(counted) {
            0 => self.get(at + counter::PREVIOUS),
            1 => self.get(at + counter::THIS),
            _ => Ok(0),
        }
    }
}
