//! The statistics extension.

use asgiref::{ChannelName, ChannelStatistics, GlobalStatistics, Result, Statistics};
use async_trait::async_trait;

use crate::layer::IpcChannelLayer;

#[async_trait]
impl Statistics for IpcChannelLayer {
    async fn global_statistics(&self) -> Result<GlobalStatistics> {
        let figures = self.shared.run(|locked| locked.global_figures())?;
        let mut statistics = GlobalStatistics::default();
        statistics.messages_count = figures.sent.total;
        statistics.messages_count_per_second = figures.sent.last_second;
        statistics.messages_pending = figures.pending;
        statistics.messages_max_age = figures.max_age;
        statistics.channel_full_count = figures.full.total;
        statistics.channel_full_count_per_second = figures.full.last_second;
        Ok(statistics)
    }

    async fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics> {
        let name = channel.non_local();
        let figures = self.shared.run(|locked| locked.channel_figures(name))?;
        let mut statistics = ChannelStatistics::default();
        statistics.messages_count = figures.sent.total;
        statistics.messages_count_per_second = figures.sent.last_second;
        statistics.messages_pending = figures.pending;
        statistics.messages_max_age = figures.max_age;
        statistics.channel_full_count = figures.full.total;
        statistics.channel_full_count_per_second = figures.full.last_second;
        Ok(statistics)
    }
}
