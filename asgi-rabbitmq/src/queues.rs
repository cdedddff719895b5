//! The channels' queues: declared before they are used, and again before their lease ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::Channel;
use tokio::time::Instant;

use crate::connection::Session;
use crate::error::{Error, Result};
use crate::topology::Topology;

/// How many queues are remembered to have been declared.
const MAX_KNOWN: usize = 50_000;

/// The longest a queue is believed to be there.
const MAX_BELIEF: Duration = Duration::from_secs(10);

/// Which queues are known to be there.
#[derive(Debug)]
pub(crate) struct Queues {
    /// How long a declaration is relied on.
    belief: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The session they were declared in, as its address: another broker may not have them.
    session: usize,
    declared: HashMap<Box<str>, Instant>,
}

impl Queues {
    /// `lease` is how long an unused queue stays.
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            belief: (lease / 4).min(MAX_BELIEF),
            known: Mutex::default(),
        }
    }

    /// Declares the queue of a channel; returns how many messages wait there.
    pub(crate) async fn declare(
        &self,
        session: &Arc<Session>,
        topology: &Topology,
        channel: &str,
    ) -> Result<usize> {
        let amqp_channel = session.declare_channel().await?;
        let declared = session
            .bounded(declare(&amqp_channel, topology, channel))
            .await;
        let count = match declared {
            // Somebody else's mistake may have closed the AMQP channel: on one of one's own it
            // is clear whose it is.
            Err(Error::Refused { .. } | Error::Lost { .. }) if session.is_alive() => {
                let own = session.own_declare_channel().await?;
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
        topology: &Topology,
        channel: &str,
    ) -> Result<()> {
        if !self.is_known(session, channel) {
            self.declare(session, topology, channel).await?;
        }
        Ok(())
    }

    pub(crate) fn is_known(&self, session: &Arc<Session>, channel: &str) -> bool {
        let known = self.lock();
        known.session == address(session)
            && known
                .declared
                .get(channel)
                .is_some_and(|declared| declared.elapsed() < self.belief)
    }

    /// Notes that the queue of a channel was declared.
    pub(crate) fn note(&self, session: &Arc<Session>, channel: &str) {
        let mut known = self.lock();
        if known.session != address(session) {
            known.session = address(session);
            known.declared.clear();
        }
        if known.declared.len() >= MAX_KNOWN {
            let belief = self.belief;
            known
                .declared
                .retain(|_, declared| declared.elapsed() < belief);
            if known.declared.len() >= MAX_KNOWN {
                known.declared.clear();
            }
        }
        let now = Instant::now();
        match known.declared.get_mut(channel) {
            Some(declared) => *declared = now,
            None => {
                known.declared.insert(channel.into(), now);
            }
        }
    }

    /// Forgets that the queue of a channel is there.
    pub(crate) fn forget(&self, channel: &str) {
        self.lock().declared.remove(channel);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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

fn address(session: &Arc<Session>) -> usize {
    Arc::as_ptr(session) as usize
}
