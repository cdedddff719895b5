//! The statistics extension.

use std::time::Duration;

use asgiref::{ChannelName, ChannelStatistics, GlobalStatistics, Result, Statistics};
use async_trait::async_trait;
use bytes::Bytes;

use crate::connection::Reply;
use crate::error::Error;
use crate::flush::pattern;
use crate::layer::RedisChannelLayer;
use crate::script;
use crate::shard::{Shard, Shards};

#[async_trait]
impl Statistics for RedisChannelLayer {
    async fn global_statistics(&self) -> Result<GlobalStatistics> {
        let shards = self.shards();
        let mut sums = GlobalStatistics::default();
        for shard in &shards.all {
            let counters = Counted::read(shard, &shard.keys.global_statistics()).await?;
            sums.messages_count += counters.messages;
            sums.messages_count_per_second += counters.messages_per_second;
            sums.channel_full_count += counters.full;
            sums.channel_full_count_per_second += counters.full_per_second;
            let waiting = Waiting::everywhere(shards, shard).await?;
            sums.messages_pending += waiting.messages;
            sums.messages_max_age = sums.messages_max_age.max(waiting.max_age);
        }
        Ok(sums)
    }

    async fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics> {
        let shards = self.shards();
        let queue = channel.non_local();
        let mut sums = ChannelStatistics::default();
        for (index, shard) in shards.all.iter().enumerate() {
            if shards.ring.home(channel).is_some_and(|home| home != index) {
                continue;
            }
            let counters = Counted::read(shard, &shard.keys.statistics(queue)).await?;
            sums.messages_count += counters.messages;
            sums.messages_count_per_second += counters.messages_per_second;
            sums.channel_full_count += counters.full;
            sums.channel_full_count_per_second += counters.full_per_second;
            let lists = [shard.keys.queue(queue)];
            let waiting = Waiting::read(shards, shard, &lists).await?;
            sums.messages_pending += waiting.messages;
            sums.messages_max_age = sums.messages_max_age.max(waiting.max_age);
        }
        Ok(sums)
    }
}

/// What was counted on one server.
struct Counted {
    messages: u64,
    messages_per_second: u64,
    full: u64,
    full_per_second: u64,
}

impl Counted {
    async fn read(shard: &Shard, stem: &str) -> Result<Self, Error> {
        let command = script::FIGURES.command::<&str>([], 64).arg(stem);
        let reply = script::FIGURES.run(&shard.server, command).await?;
        let figures: Option<Vec<u64>> = reply.into_array().and_then(|figures| {
            let figures = figures.iter().map(|figure| {
                let figure = figure.as_int()?;
                u64::try_from(figure).ok()
            });
            figures.collect()
        });
        match figures.as_deref() {
            Some([messages, messages_per_second, full, full_per_second]) => Ok(Self {
                messages: *messages,
                messages_per_second: *messages_per_second,
                full: *full,
                full_per_second: *full_per_second,
            }),
            _ => Err(misunderstood(shard)),
        }
    }
}

/// What waits on one server.
#[derive(Default)]
struct Waiting {
    messages: u64,
    max_age: Duration,
}

impl Waiting {
    async fn read<K: AsRef<[u8]>>(
        shards: &Shards,
        shard: &Shard,
        lists: &[K],
    ) -> Result<Self, Error> {
        let command = script::PENDING.command(lists, 64).int(shards.expiry_ms());
        let reply = script::PENDING.run(&shard.server, command).await?;
        let figures = reply.into_array().unwrap_or_default();
        match figures.iter().map(Reply::as_int).collect::<Vec<_>>()[..] {
            [Some(messages), Some(age)] => Ok(Self {
                messages: messages.try_into().unwrap_or(0),
                max_age: Duration::from_millis(age.try_into().unwrap_or(0)),
            }),
            _ => Err(misunderstood(shard)),
        }
    }

    /// Looks through all keys, so that statistics cost senders nothing.
    async fn everywhere(shards: &Shards, shard: &Shard) -> Result<Self, Error> {
        let pattern = pattern(shard.keys.prefix());
        let mut cursor = Bytes::from_static(b"0");
        let mut sums = Self::default();
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let command = script::SCAN
                .command::<&str>([], 64)
                .arg(&cursor)
                .arg(&pattern);
            let reply = script::SCAN.run(&shard.server, command).await?;
            let step = reply
                .into_array()
                .and_then(|step| <[Reply; 2]>::try_from(step).ok());
            let Some([next, lists]) = step else {
                return Err(misunderstood(shard));
            };
            let lists: Vec<Bytes> = lists
                .into_array()
                .unwrap_or_default()
                .into_iter()
                .filter_map(Reply::into_bytes)
                // A key may come up twice. What begins with a colon is no channel.
                .filter(|list| {
                    let queue = shard.keys.queue_of(list);
                    queue.is_some_and(|queue| !queue.starts_with(':')) && seen.insert(list.clone())
                })
                .collect();
            if !lists.is_empty() {
                let found = Self::read(shards, shard, &lists).await?;
                sums.messages += found.messages;
                sums.max_age = sums.max_age.max(found.max_age);
            }
            cursor = next.into_bytes().ok_or_else(|| misunderstood(shard))?;
            if cursor == "0" {
                return Ok(sums);
            }
        }
    }
}

fn misunderstood(shard: &Shard) -> Error {
    let reason = "figures are not as they should be";
    Error::protocol(shard.server.name(), reason)
}
