use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelName, GroupName};
use lapin::options::QueueBindOptions;
use lapin::types::FieldTable;

use crate::beliefs::Beliefs;
use crate::connection::Session;
use crate::error::Result;
use crate::site::Site;

/// How long the log of a group is believed to be there.
const BELIEF: Duration = Duration::from_secs(10);

/// The logs of groups that are known to be there, and those that are known to hear of members on
/// certain queues.
#[derive(Debug)]
pub(crate) struct Logs {
    declared: Beliefs<GroupName>,
    bound: Beliefs<(GroupName, ChannelName)>,
}

impl Logs {
    pub(crate) fn new() -> Self {
        Self {
            declared: Beliefs::new(BELIEF),
            bound: Beliefs::new(BELIEF),
        }
    }

    /// Sees to it that a group has a log.
    pub(crate) async fn ensure(
        &self,
        site: &Site,
        session: &Arc<Session>,
        group: &GroupName,
    ) -> Result<()> {
        if self.declared.holds(session, group) {
            return Ok(());
        }
        let topology = &site.topology;
        let log = topology.group_log(group);
        let amqp_channel = session.declare_channel().await?;
        let making = session.bounded(async {
            let (declared, bound) = tokio::join!(
                amqp_channel.queue_declare(
                    log.clone(),
                    topology.queue_options(),
                    topology.log_arguments(),
                ),
                amqp_channel.queue_bind(
                    log.clone(),
                    topology.groups(),
                    group.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
            );
            declared?;
            bound
        });
        let recording = site.queues.record(session, topology, log.as_str());
        let (made, recorded) = tokio::join!(making, recording);
        made?;
        recorded?;
        self.declared.note(session, group.clone());
        Ok(())
    }

    /// Sees to it that the log of a group hears of expired messages on the queue of `channel`.
    pub(crate) async fn bind(
        &self,
        site: &Site,
        session: &Arc<Session>,
        group: &GroupName,
        channel: &ChannelName,
    ) -> Result<()> {
        let pair = (group.clone(), channel.to_non_local());
        if self.bound.holds(session, &pair) {
            return Ok(());
        }
        let amqp_channel = session.declare_channel().await?;
        let bind = amqp_channel.queue_bind(
            site.topology.group_log(group),
            site.topology.members(),
            channel.non_local().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        session.bounded(bind).await?;
        self.bound.note(session, pair);
        Ok(())
    }
}
