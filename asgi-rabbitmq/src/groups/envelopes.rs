//! One message for all members of a group at one process.
//!
//! A process that reads envelopes shows a sign as long as it receives: a queue that holds nothing.
//! Senders look for it, and believe for a while what they found.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use asgiref::codec::{Codec, envelope};
use asgiref::{ChannelKind, ChannelName, Message, Result, Value};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::time::Instant;

use crate::connection::Session;
use crate::error::{Error, NOT_FOUND};
use crate::layer::RabbitmqChannelLayer;
use crate::outbox::Parcel;
use crate::site::Site;
use crate::topology::Topology;

/// How often a process shows that it reads envelopes, and how long that is seen.
const SHOW_EVERY: Duration = Duration::from_secs(10);
const SHOWN_FOR: Duration = Duration::from_secs(30);

/// How long a sign that was found, or not found, is relied on.
const BELIEF: Duration = Duration::from_secs(5);

/// How many queues are remembered.
const MAX_REMEMBERED: usize = 4096;

/// Which queues are read by processes that read envelopes.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    found: Mutex<HashMap<ChannelName, (bool, Instant)>>,
    shown: Mutex<HashMap<ChannelName, Instant>>,
}

impl Readers {
    /// Whether the process that reads a queue reads envelopes.
    pub(crate) async fn is_one(
        &self,
        site: &Site,
        session: &Arc<Session>,
        queue: &ChannelName,
    ) -> Result<bool, Error> {
        if queue.kind() != ChannelKind::ProcessSpecific {
            return Ok(false);
        }
        if let Some((found, when)) = lock(&self.found).get(queue)
            && when.elapsed() < BELIEF
        {
            return Ok(*found);
        }
        let amqp_channel = session.own_declare_channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..site.topology.queue_options()
        };
        let sign = site.topology.reader(queue.as_str());
        let look = amqp_channel.queue_declare(sign, options, FieldTable::default());
        let found = match session.bounded(look).await {
            Ok(_) => true,
            Err(Error::Refused {
                code: NOT_FOUND, ..
            }) => false,
            Err(error) => return Err(error),
        };
        let mut remembered = lock(&self.found);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, (_, when)| when.elapsed() < BELIEF);
        }
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(queue.clone(), (found, Instant::now()));
        }
        Ok(found)
    }

    /// Shows that this process reads envelopes on a queue, unless that was done lately.
    pub(crate) async fn show(
        &self,
        site: &Site,
        session: &Arc<Session>,
        queue: &ChannelName,
    ) -> Result<(), Error> {
        if queue.kind() != ChannelKind::ProcessSpecific {
            return Ok(());
        }
        let now = Instant::now();
        {
            let mut shown = lock(&self.shown);
            let last = shown.get(queue);
            if last.is_some_and(|last| now.duration_since(*last) < SHOW_EVERY) {
                return Ok(());
            }
            shown.retain(|_, last| now.duration_since(*last) < SHOWN_FOR);
            shown.insert(queue.clone(), now);
        }
        let amqp_channel = session.look_channel().await?;
        let sign = site.topology.reader(queue.as_str());
        let arguments = Topology::sign_arguments(SHOWN_FOR);
        let show = amqp_channel.queue_declare(sign, site.topology.queue_options(), arguments);
        session.bounded(show).await?;
        Ok(())
    }
}

impl RabbitmqChannelLayer {
    /// Envelopes for channels that are all of one queue.
    pub(super) fn enveloped(
        &self,
        channels: &[ChannelName],
        message: &Message,
    ) -> Result<Vec<Parcel>> {
        let plain = Codec::new().encode(message)?;
        let parcels = channels.chunks(envelope::MAX_MEMBERS).map(|channels| {
            let locals = channels.iter().filter_map(ChannelName::local_part);
            let locals: Vec<Value> = locals.map(Value::from).collect();
            Ok(Parcel {
                members: Some(locals.len()),
                body: envelope::seal(&self.site().codec, &plain, locals)?,
                local: None,
            })
        });
        parcels.collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
