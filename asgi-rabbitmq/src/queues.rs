//! The channels' queues: declared before they are used, and again before their lease ends; and
//! the names of those that were used, for a flush.

use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;

use crate::beliefs::Beliefs;
use crate::connection::{Session, Side};
use crate::error::{Error, Result};
use crate::news::{Event, append};
use crate::topology::Topology;

/// The longest a queue is believed to be there.
const MAX_BELIEF: Duration = Duration::from_secs(10);

/// Which queues are known to be there.
#[derive(Debug)]
pub(crate) struct Queues {
    declared: Beliefs<Box<str>>,
    /// Those whose names are where a flush finds them.
    recorded: Beliefs<Box<str>>,
    /// Whether the queue of names is there.
    names: Beliefs<()>,
}

impl Queues {
    /// `lease` is how long an unused queue stays.
    pub(crate) fn new(lease: Duration) -> Self {
        let life = (lease / 4).min(MAX_BELIEF);
        Self {
            declared: Beliefs::new(life),
            recorded: Beliefs::new(life),
            names: Beliefs::new(MAX_BELIEF),
        }
    }

    /// Declares the queue of a channel, through the connection that is meant for the purpose;
    /// returns how many messages wait there.
    pub(crate) async fn declare(
        &self,
        session: &Arc<Session>,
        side: Side,
        topology: &Topology,
        channel: &str,
    ) -> Result<usize> {
        let amqp_channel = match side {
            Side::Talk => session.declare_channel().await?,
            Side::Listen => session.look_channel().await?,
        };
        let declared = session
            .bounded(declare(&amqp_channel, topology, channel))
            .await;
        let count = match declared {
            // Somebody else's mistake may have closed the AMQP channel: on one of one's own it
            // is clear whose it is.
            Err(Error::Refused { .. } | Error::Lost { .. }) if session.is_alive() => {
                let own = session.own_channel_at(side).await?;
                session.bounded(declare(&own, topology, channel)).await?
            }
            declared => declared?,
        };
        self.note(session, channel);
        Ok(count)
    }

    /// Declares the queue of a channel unless that was done lately.
    pub(crate) async fn ensure(
        &self,
        session: &Arc<Session>,
        side: Side,
        topology: &Topology,
        channel: &str,
    ) -> Result<()> {
        if !self.is_known(session, channel) {
            self.declare(session, side, topology, channel).await?;
        }
        Ok(())
    }

    /// Notes the name of a queue where a flush finds it, unless that was done lately.
    pub(crate) async fn record(
        &self,
        session: &Arc<Session>,
        topology: &Topology,
        queue: &str,
    ) -> Result<()> {
        if self.recorded.holds(session, queue) {
            return Ok(());
        }
        let event = Event::Named {
            name: queue.to_owned(),
        };
        let life = if topology.group_of(queue).is_some() {
            topology.group_expiration()
        } else {
            topology.lease().to_string().into()
        };
        let names = topology.names();
        if !self.names.holds(session, &()) {
            let amqp_channel = session.declare_channel().await?;
            let declare = amqp_channel.queue_declare(
                names.clone(),
                topology.queue_options(),
                topology.names_arguments(),
            );
            session.bounded(declare).await?;
            self.names.note(session, ());
        }
        append(session, &names, &event, life.as_str()).await?;
        self.recorded.note(session, queue.into());
        Ok(())
    }

    /// Whether the queue of a channel was declared lately.
    pub(crate) fn is_known(&self, session: &Arc<Session>, channel: &str) -> bool {
        self.declared.holds(session, channel)
    }

    /// Notes that the queue of a channel was declared.
    pub(crate) fn note(&self, session: &Arc<Session>, channel: &str) {
        self.declared.note(session, channel.into());
    }

    /// Forgets that the queue of a channel is there.
    pub(crate) fn forget(&self, channel: &str) {
        self.declared.forget(channel);
    }
}

/// Declares the queue of a channel; returns how many messages wait there. The frame is written
/// when this is polled first.
pub(crate) async fn declare(
    amqp_channel: &Channel,
    topology: &Topology,
    channel: &str,
) -> Result<usize, lapin::Error> {
    let queue = amqp_channel
        .queue_declare(
            topology.queue(channel).into(),
            topology.queue_options(),
            topology.queue_arguments(),
        )
        .await?;
    Ok(queue.message_count() as usize)
}
