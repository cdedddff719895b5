//! Removing everything.

use crate::layout::header;
use crate::segment::Checked;

use super::Locked;

impl Locked<'_> {
    /// Removes all messages, groups and figures. Clients that wait go on waiting.
    ///
    /// The repair is told to keep nothing; one that is interrupted is told so still.
    pub(crate) fn flush(&self) -> Checked<()> {
        // The dead wait for nothing.
        self.forget_the_dead()?;
        self.empty_hand()?;
        self.set(header::FLUSHING, 1)?;
        self.rebuild()
    }
}
