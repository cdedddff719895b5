use std::fmt;

use asgiref::ByteString;

/// What the named groups of a route's patterns captured, in the order of the groups.
///
/// A group that took no part in the match has no value. If two patterns have a group of the same
/// name, the later filter wins, and the route wins over what it is included under.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RouteParams {
    entries: Vec<(ByteString, Option<ByteString>)>,
}

impl RouteParams {
    /// What the group `name` captured.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries
            .iter()
            .find(|(known, _)| *known == *name)
            .and_then(|(_, value)| value.as_deref())
    }

    /// How many groups there are, those without a value included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The groups with what they captured.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Option<&str>)> {
        self.entries
            .iter()
            .map(|(name, value)| (&**name, value.as_deref()))
    }

    /// Adds a capture at the end, whatever is there already.
    pub(crate) fn push(&mut self, name: ByteString, value: Option<ByteString>) {
        self.entries.push((name, value));
    }

    /// Forgets all but the first `len` captures.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
    }

    /// Of captures with the same name, keeps the last, in the place of the first.
    pub(crate) fn settle(&mut self) {
        let mut at = 1;
        while at < self.entries.len() {
            let (before, from) = self.entries.split_at_mut(at);
            match before.iter_mut().find(|(name, _)| *name == from[0].0) {
                Some((_, value)) => {
                    *value = from[0].1.take();
                    self.entries.remove(at);
                }
                None => at += 1,
            }
        }
    }
}

impl fmt::Debug for RouteParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
