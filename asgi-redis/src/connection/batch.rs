//! Calls of one script that go to the server together: one command for several callers.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::resp::{Command, put_head, put_string};

/// What the calls have in common: the script, and its first arguments.
#[derive(Debug)]
pub(crate) struct Batch {
    script: Command,
    common: Command,
}

impl Batch {
    /// Of calls of `script`, with these arguments before those of each.
    pub(crate) const fn new(script: Command, common: Command) -> Self {
        Self { script, common }
    }
}

/// One of the calls: a key, and arguments of its own.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    batch: Arc<Batch>,
    key: Bytes,
    arguments: Arc<Command>,
}

impl Part {
    pub(crate) fn new(batch: &Arc<Batch>, key: impl AsRef<[u8]>, arguments: Command) -> Self {
        let mut encoded = BytesMut::new();
        put_string(&mut encoded, key.as_ref());
        Self {
            batch: Arc::clone(batch),
            key: encoded.freeze(),
            arguments: Arc::new(arguments),
        }
    }

    /// The same call of the script of another batch.
    pub(crate) fn of(&self, batch: &Arc<Batch>) -> Self {
        Self {
            batch: Arc::clone(batch),
            ..self.clone()
        }
    }

    pub(super) fn goes_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.batch, &other.batch)
    }

    /// How many bytes it adds to a command.
    pub(super) fn len(&self) -> usize {
        self.key.len() + self.arguments.encoded().len()
    }
}

/// Writes one command for `parts`, all of one batch. Its answer is an array with one element for
/// each.
pub(super) fn write(parts: &[Part], out: &mut BytesMut) {
    let Some(Batch { script, common }) = parts.first().map(|part| &*part.batch) else {
        return;
    };
    let own: usize = parts.iter().map(|part| part.arguments.count()).sum();
    put_head(
        out,
        b'*',
        script.count() + 1 + parts.len() + common.count() + own,
    );
    script.write_words(out);
    put_string(out, parts.len().to_string().as_bytes());
    for part in parts {
        out.put_slice(&part.key);
    }
    common.write_words(out);
    for part in parts {
        out.put_slice(part.arguments.encoded());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_one_command() {
        let script = Command::new("EVALSHA abc");
        let batch = Arc::new(Batch::new(script, Command::new("common")));
        let arguments = |text| Command::arguments(0).arg(text).int(7);
        let parts = [
            Part::new(&batch, "key1", arguments("one")),
            Part::new(&batch, "key2", arguments("two")),
        ];
        let mut out = BytesMut::new();
        write(&parts, &mut out);
        let mut expected = BytesMut::new();
        let whole = Command::new("EVALSHA abc 2 key1 key2 common one 7 two 7");
        whole.write(&mut expected);
        assert_eq!(out, expected);
    }
}
