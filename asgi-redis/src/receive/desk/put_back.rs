//! What nobody wants any more goes back to the head of its channel.

use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::script;

use super::Desk;

impl Desk {
    /// Puts messages back that somebody gave back.
    pub(super) async fn put_back(&self) -> Result<()> {
        let mut returns = self.hub.lock().take_returns(self.number);
        // The newest first: each goes before those that are there already.
        returns.sort_by(|a, b| (a.queue.as_str(), b.number).cmp(&(b.queue.as_str(), a.number)));
        let now = Instant::now();
        let mut rest = &returns[..];
        while let Some(same_queue) = rest.chunk_by(|a, b| a.queue == b.queue).next() {
            let size = same_queue.iter().map(|parcel| parcel.body.len() + 64).sum();
            let key = self.shard().keys.queue(same_queue[0].queue.as_str());
            let mut command = script::BACK
                .command([key], size)
                .int(self.hub.shards.expiry_ms());
            for parcel in same_queue {
                let life = parcel.expires.saturating_duration_since(now).as_millis();
                if life > 0 {
                    command.push(&parcel.key);
                    command.push_int(life as i128);
                    command.push(&parcel.body);
                }
            }
            let put = script::BACK.run(&self.shard().server, command).await;
            let is_uncertain = matches!(put, Err(Error::Lost { .. } | Error::Timeout { .. }));
            if is_uncertain {
                // They may be there: a second time they would be delivered twice.
                self.hub.shards.counters.interrupted_receive();
            }
            if put.is_ok() || is_uncertain {
                rest = &rest[same_queue.len()..];
            }
            if let Err(error) = put {
                let mut state = self.hub.lock();
                state.desks[self.number]
                    .returns
                    .extend(rest.iter().cloned());
                return Err(error);
            }
        }
        self.hub.lock().desks[self.number].putting_back = false;
        Ok(())
    }

    /// Puts a reference back whose message was not fetched.
    pub(super) async fn put_reference_back(&self, queue: &str, key: &[u8]) -> Result<()> {
        let command = script::BACK
            .command([self.shard().keys.queue(queue)], 64)
            .int(self.hub.shards.expiry_ms())
            .arg(key)
            .int(-1)
            .arg("");
        script::BACK.run(&self.shard().server, command).await?;
        Ok(())
    }
}
