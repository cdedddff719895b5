//! A sign that is gone if the broker was emptied: a message in a queue, which each process has for
//! itself. One that processes shared would be there again for all as soon as the first had noticed.

use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;

use crate::connection::Session;
use crate::error::Result;
use crate::topology::Topology;

/// How long a process may be without a connection and still find its sign.
const LIFE: Duration = Duration::from_secs(3600);

/// How often it is shown that the sign is still wanted.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct Sign {
    name: String,
}

impl Sign {
    pub(crate) fn new() -> Self {
        Self {
            name: format!("{:016x}", rand::random::<u64>()),
        }
    }

    /// Declares the queue; returns whether the message is there.
    pub(crate) async fn renew(&self, topology: &Topology, session: &Arc<Session>) -> Result<bool> {
        let amqp_channel = session.declare_channel().await?;
        let declare = amqp_channel.queue_declare(
            topology.data(&self.name),
            topology.queue_options(),
            Topology::sign_arguments(LIFE),
        );
        let queue = session.bounded(declare).await?;
        Ok(queue.message_count() > 0)
    }

    /// Leaves the message. Like all others it is lost if the broker restarts, even where queues
    /// are not.
    pub(crate) async fn leave(&self, topology: &Topology, session: &Arc<Session>) -> Result<()> {
        let amqp_channel = session.publish_channel().await?;
        let queue = topology.data(&self.name);
        let properties = BasicProperties::default();
        let publishing = session.publish(&amqp_channel, "", queue, b"", properties);
        session.bounded(publishing).await?;
        Ok(())
    }
}
