//! Whether the server was emptied.

use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Line;
use crate::error::Result;
use crate::script;

use super::{Desk, random_name};

/// How often it is looked.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// How long the mark stays that tells so, at least, in milliseconds.
const MARK_LIFE: i128 = 3_600_000;

impl Desk {
    /// Looks now and then whether the mark that was found on the server is still there.
    pub(super) async fn check_data(&mut self, line: &mut Line) -> Result<()> {
        if Instant::now() < self.check_data_at {
            return Ok(());
        }
        self.check_data_at = Instant::now() + CHECK_EVERY;
        let before = self.hub.lock().desks[self.number].data.clone();
        let life = self.hub.shards.group_expiry_ms().max(MARK_LIFE);
        let command = script::DATA
            .command([self.shard().keys.data()], 64)
            .arg(random_name())
            .int(life);
        let mark = match script::DATA.run_on(line, command).await {
            // No reason to leave the messages there that can still be handed out.
            Err(error) if matches!(error.code(), Some("OOM" | "NOPERM" | "MISCONF")) => {
                tracing::debug!(%error, "cannot mark the server");
                return Ok(());
            }
            mark => mark?,
        };
        let mark = mark.into_bytes().ok_or_else(|| self.misunderstood())?;
        let mut state = self.hub.lock();
        let known = &mut state.desks[self.number].data;
        // Unless a flush came in between.
        let lost = before.is_some() && *known == before && before.as_ref() != Some(&mark);
        *known = Some(mark);
        drop(state);
        if lost {
            self.hub.shards.counters.data_lost();
            self.announced.clear();
            tracing::warn!(
                server = %self.shard().server.name(),
                "the server was emptied: messages and groups that were there are gone",
            );
        }
        Ok(())
    }
}
