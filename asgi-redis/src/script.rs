//! Server-side scripts: the steps that must be atomic.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use sha1::{Digest as _, Sha1};

use crate::connection::{Batch, Command, Line, Part, Reply, Server, Work, encode_words};
use crate::error::{Error, Result};

/// A script, called by its hash; its text is sent to servers that do not have it.
#[derive(Debug)]
pub(crate) struct Script {
    /// `EVALSHA` and the hash, encoded.
    by_hash: (Bytes, usize),
    /// `EVAL` and the text, encoded.
    by_text: (Bytes, usize),
}

impl Script {
    fn new(text: &str) -> Self {
        let hash: String = Sha1::digest(text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            by_hash: encode_words(["EVALSHA", &hash]),
            by_text: encode_words(["EVAL", text]),
        }
    }

    /// A call of the script with these keys, to which arguments are to be added; there is room
    /// for `size` bytes of them.
    pub(crate) fn command<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K, IntoIter: ExactSizeIterator>,
        size: usize,
    ) -> Command {
        let keys = keys.into_iter();
        let (head, words) = &self.by_hash;
        let mut command = Command::with_head(head.clone(), *words, size + 128);
        command.push_int(keys.len() as i128);
        keys.fold(command, Command::arg)
    }

    /// Has a call of this script executed.
    ///
    /// A server that does not know the script did not execute it, so that it can be sent again
    /// with its text.
    pub(crate) async fn run(&self, server: &Server, command: Command) -> Result<Reply> {
        let command = Arc::new(command);
        match server.call(&command).await {
            Err(error) if is_unknown(&error) => {
                server.call(&Arc::new(self.with_text(&command))).await
            }
            answer => answer,
        }
    }

    /// The same on a connection of the caller's own.
    pub(crate) async fn run_on(&self, line: &mut Line, command: Command) -> Result<Reply> {
        match line.call(&command).await {
            Err(error) if is_unknown(&error) => line.call(&self.with_text(&command)).await,
            answer => answer,
        }
    }

    /// What calls of this script have in common that are made together, by hash and by text;
    /// `common` are the first arguments of each.
    pub(crate) fn batches(&self, common: &Command) -> Batches {
        let batch = |(head, words): &(Bytes, usize)| {
            let script = Command::with_head(head.clone(), *words, 0);
            Arc::new(Batch::new(script, common.clone()))
        };
        Batches {
            by_hash: batch(&self.by_hash),
            by_text: batch(&self.by_text),
        }
    }

    fn with_text(&self, command: &Command) -> Command {
        let (head, words) = &self.by_text;
        command.headed(head.clone(), *words)
    }
}

/// A script of which several calls are made together.
#[derive(Debug)]
pub(crate) struct Batches {
    by_hash: Arc<Batch>,
    by_text: Arc<Batch>,
}

impl Batches {
    /// Has a call executed, as [`Script::run`] does.
    pub(crate) async fn run(
        &self,
        server: &Server,
        key: impl AsRef<[u8]>,
        arguments: Command,
    ) -> Result<Reply> {
        let part = Part::new(&self.by_hash, key, arguments);
        match server.work(&Work::Part(part.clone())).await {
            Err(error) if is_unknown(&error) => {
                server.work(&Work::Part(part.of(&self.by_text))).await
            }
            answer => answer,
        }
    }
}

/// Whether the server does not know the script.
fn is_unknown(error: &Error) -> bool {
    error.code() == Some("NOSCRIPT")
}

macro_rules! scripts {
    ($($name:ident $($file:literal)+)*) => {$(
        #[doc = concat!($("`lua/", $file, "` "),+)]
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("lua/common.lua"),
                $(include_str!(concat!("lua/", $file))),+
            ))
        });
    )*};
}

scripts! {
    BACK "back.lua"
    BID "bid.lua"
    DATA "data.lua"
    DELIVER "groups.lua" "deliver.lua"
    EXPIRE "expire.lua"
    FIGURES "figures.lua"
    FLUSH "flush.lua"
    GROUP "groups.lua" "group.lua"
    JOIN "join.lua"
    MEMBERS "groups.lua" "members.lua"
    PENDING "pending.lua"
    PRUNE "prune.lua"
    RAISE "raise.lua"
    SCAN "scan.lua"
    SEND "send.lua"
    TAKE "take.lua"
    WITHDRAW "withdraw.lua"
}
