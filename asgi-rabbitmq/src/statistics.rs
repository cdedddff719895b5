//! The statistics extension.
//!
//! The broker tells how many messages wait. What was sent and what was refused is counted by each
//! process for itself, and so is the age of messages: see the limits in the README.

use std::time::Duration;

use asgiref::{ChannelName, ChannelStatistics, GlobalStatistics, Result, Statistics};
use async_trait::async_trait;
use futures_util::future::join_all;

use crate::connection::Side;
use crate::layer::RabbitmqChannelLayer;

/// How many queues are asked about at once.
const MAX_ASKED: usize = 256;

#[async_trait]
impl Statistics for RabbitmqChannelLayer {
    async fn global_statistics(&self) -> Result<GlobalStatistics> {
        let tally = &self.site().tally;
        let counted = tally.of_all();
        let mut figures = GlobalStatistics::default();
        figures.messages_count = counted.messages;
        figures.messages_count_per_second = counted.messages_per_second;
        figures.channel_full_count = counted.full;
        figures.channel_full_count_per_second = counted.full_per_second;
        for queues in tally.queues().chunks(MAX_ASKED) {
            let waiting = queues.iter().map(|queue| self.waiting(queue));
            for waiting in join_all(waiting).await {
                let (pending, age) = waiting?;
                figures.messages_pending += pending as u64;
                figures.messages_max_age = figures.messages_max_age.max(age);
            }
        }
        Ok(figures)
    }

    async fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics> {
        let queue = channel.non_local();
        let counted = self.site().tally.of(queue);
        let (pending, age) = self.waiting(queue).await?;
        let mut figures = ChannelStatistics::default();
        figures.messages_count = counted.messages;
        figures.messages_count_per_second = counted.messages_per_second;
        figures.messages_pending = pending as u64;
        figures.messages_max_age = age;
        figures.channel_full_count = counted.full;
        figures.channel_full_count_per_second = counted.full_per_second;
        Ok(figures)
    }
}

impl RabbitmqChannelLayer {
    /// How many messages wait on a queue, and for how long the oldest, at most.
    async fn waiting(&self, queue: &str) -> Result<(usize, Duration)> {
        let site = self.site();
        let session = site.broker.session().await?;
        let pending = site
            .queues
            .declare(&session, Side::Listen, &site.topology, queue)
            .await?;
        let age = site.tally.age(queue, pending);
        Ok((pending, age.min(site.config.message_expiry())))
    }
}
