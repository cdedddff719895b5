//! Taking messages off queues: as many as are wanted, acknowledged before anybody gets them.

use std::sync::Arc;

use asgiref::ChannelName;
use futures_util::future::join_all;
use lapin::Channel;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions};
use rand::seq::SliceRandom as _;
use tokio::time::Instant;

use super::parcel::Parcel;
use crate::connection::{Session, Side};
use crate::error::{Error, NOT_FOUND, Result};
use crate::site::Site;

/// How many messages one request takes.
const MAX_FETCHED: usize = 64;

/// What came off the queues.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) parcels: Vec<Parcel>,
    /// Whether there is more.
    pub(super) more: bool,
}

/// Takes up to `limit` messages off the queues of `channels`. `wanted` says, when they are here,
/// how many are still wanted; the others go back to the heads of their queues.
pub(super) async fn fetch(
    site: &Site,
    channels: &[ChannelName],
    limit: usize,
    wanted: impl Fn() -> usize,
) -> Result<Fetched> {
    let session = site.broker.session().await?;
    let limit = limit.min(MAX_FETCHED);
    match attempt(site, &session, channels, limit, &wanted).await {
        // Somebody deleted a queue. Nothing was taken.
        Err(Error::Refused {
            code: NOT_FOUND, ..
        }) => {
            for channel in channels {
                site.queues.forget(channel.as_str());
            }
            attempt(site, &session, channels, limit, &wanted).await
        }
        fetched => fetched,
    }
}

async fn attempt(
    site: &Site,
    session: &Arc<Session>,
    channels: &[ChannelName],
    limit: usize,
    wanted: &impl Fn() -> usize,
) -> Result<Fetched> {
    let plan = plan(site, session, channels, limit).await?;
    if plan.is_empty() {
        return Ok(Fetched::default());
    }
    let amqp_channel = session.get_channel().await?;
    let getting = plan.iter().map(async |channel| {
        let queue = site.topology.queue(channel.as_str());
        let options = BasicGetOptions { no_ack: false };
        amqp_channel.basic_get(queue.into(), options).await
    });
    let got = session
        .bounded(async {
            join_all(getting)
                .await
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let mut more = false;
    let mut came: Vec<(&ChannelName, BasicGetMessage)> = Vec::new();
    for (channel, got) in plan.into_iter().zip(got) {
        if let Some(message) = got {
            more |= message.message_count > 0;
            came.push((channel, message));
        }
    }
    let surplus = came.split_off(came.len().min(wanted()));
    // The last one first, so that each goes before those that came later.
    for (_, message) in surplus.into_iter().rev() {
        more = true;
        back(session, &amqp_channel, message.delivery.delivery_tag).await?;
    }
    if came.is_empty() {
        return Ok(Fetched {
            parcels: Vec::new(),
            more,
        });
    }
    let tags: Vec<u64> = came
        .iter()
        .map(|(_, message)| message.delivery.delivery_tag)
        .collect();
    acknowledge(session, &amqp_channel, &tags)
        .await
        .inspect_err(|_| site.counters.interrupted_receive())?;
    let expires = Instant::now() + site.config.message_expiry();
    let parcels = came
        .into_iter()
        .map(|(channel, message)| Parcel::new(channel.clone(), message.delivery, expires));
    Ok(Fetched {
        parcels: parcels.collect(),
        more,
    })
}

/// Which queue to ask for a message, for each of up to `limit`.
async fn plan<'c>(
    site: &Site,
    session: &Arc<Session>,
    channels: &'c [ChannelName],
    limit: usize,
) -> Result<Vec<&'c ChannelName>> {
    if let [channel] = channels {
        let topology = &site.topology;
        site.queues
            .ensure(session, Side::Listen, topology, channel.as_str())
            .await?;
        return Ok(vec![channel; limit]);
    }
    let lengths = channels.iter().map(|channel| {
        site.queues
            .declare(session, Side::Listen, &site.topology, channel.as_str())
    });
    let mut filled = Vec::new();
    for (channel, length) in channels.iter().zip(join_all(lengths).await) {
        match length? {
            0 => {}
            length => filled.push((channel, length)),
        }
    }
    // Those that have something take turns, in an order of their own each time.
    filled.shuffle(&mut rand::rng());
    let mut plan = Vec::new();
    while plan.len() < limit && !filled.is_empty() {
        filled.retain_mut(|(channel, length)| {
            if plan.len() < limit {
                plan.push(*channel);
            }
            *length -= 1;
            *length > 0
        });
    }
    Ok(plan)
}

/// Acknowledges, and waits until the broker has seen it: a message that is handed out must not
/// be delivered again, whatever becomes of the connection.
pub(super) async fn acknowledge(
    session: &Session,
    amqp_channel: &Channel,
    tags: &[u64],
) -> Result<()> {
    let acknowledging = tags
        .iter()
        .map(|tag| amqp_channel.basic_ack(*tag, BasicAckOptions::default()));
    let (acknowledged, seen) = session
        .bounded(async {
            Ok(tokio::join!(
                join_all(acknowledging),
                amqp_channel.basic_qos(0, BasicQosOptions::default())
            ))
        })
        .await?;
    let all: Result<Vec<()>, lapin::Error> = acknowledged.into_iter().collect();
    all.and(seen).map_err(|error| session.failed(error))
}

/// Puts a message back where it was.
async fn back(session: &Session, amqp_channel: &Channel, tag: u64) -> Result<()> {
    let options = BasicNackOptions {
        requeue: true,
        ..BasicNackOptions::default()
    };
    session.bounded(amqp_channel.basic_nack(tag, options)).await
}
