//! The flush extension.

use std::sync::Arc;

use asgiref::{Flush, Result};
use async_trait::async_trait;

use crate::connection::Server;
use crate::error::Error;
use crate::layer::RedisChannelLayer;
use crate::script;

#[async_trait]
impl Flush for RedisChannelLayer {
    async fn flush(&self) -> Result<()> {
        let shards = Arc::clone(self.shards());
        for shard in &shards.all {
            for prefix in [shard.keys.prefix(), shard.keys.stats_prefix()] {
                remove_all(&shard.server, prefix).await?;
            }
        }
        self.inner.hub.forget();
        Ok(())
    }
}

/// Removes all keys that begin with `prefix`, a thousand or so at a time, so that the server
/// serves others in between.
async fn remove_all(server: &Server, prefix: &str) -> Result<(), Error> {
    let pattern = pattern(prefix);
    let mut cursor = bytes::Bytes::from_static(b"0");
    loop {
        let command = script::FLUSH
            .command::<&str>([], 64)
            .arg(&cursor)
            .arg(&pattern);
        let reply = script::FLUSH.run(server, command).await?;
        cursor = reply
            .into_bytes()
            .ok_or_else(|| Error::protocol(server.name(), "a cursor is not text"))?;
        if cursor == "0" {
            return Ok(());
        }
    }
}

/// The glob for everything that begins with `prefix`, whatever that contains.
pub(crate) fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for char in prefix.chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_glob_would_take_for_something_else_is_escaped() {
        assert_eq!(pattern("asgi:"), "asgi:*");
        assert_eq!(pattern("a[b]*?\\:"), "a\\[b\\]\\*\\?\\\\:*");
    }
}
