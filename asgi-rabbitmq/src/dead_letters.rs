//! What happens to messages that expire unread: their channels leave all groups.
//!
//! The broker sends expired messages to an exchange, as Python's layer has it. All processes
//! share a queue there. Whoever takes a message from it tells all who follow groups, and the logs
//! of groups with members on the message's queue.
//!
//! In the compatible form of groups the queue is the one that Python's processes read as well, and
//! dead letters are what groups are made of.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use asgiref::codec::{Codec, envelope};
use asgiref::{Backoff, ChannelKind, ChannelName, GroupName};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::GroupsForm;
use crate::connection::{OnConnect, Session};
use crate::error::Result;
use crate::groups::compatible::{Task, pass_on};
use crate::news::{Ear, Event, now};
use crate::receive::local_part;
use crate::sign::{self, Sign};
use crate::site::Site;

/// How many expired messages are taken at a time.
const BATCH: usize = 64;

/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The header with the history of an expired message.
const DEATHS: &str = "x-death";

/// What is done in every session as long as it lasts.
pub(crate) struct DeadLetters {
    site: Weak<Site>,
    ear: Weak<Ear>,
    /// What is gone if the broker was emptied.
    sign: Sign,
    /// Whether that was left at a broker already.
    seen: AtomicBool,
}

impl DeadLetters {
    /// Begins in every session that is made from now on.
    pub(crate) fn watch(site: &Arc<Site>, ear: &Arc<Ear>) -> OnConnect {
        let letters = Arc::new(Self {
            site: Arc::downgrade(site),
            ear: Arc::downgrade(ear),
            sign: Sign::new(),
            seen: AtomicBool::new(false),
        });
        Box::new(move |session| {
            tokio::spawn(Arc::clone(&letters).work(Arc::clone(session)));
        })
    }

    async fn work(self: Arc<Self>, session: Arc<Session>) {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut refused = false;
        while session.is_alive() {
            let worked = match self.look_for_data(&session).await {
                Ok(()) => self.consume(&session).await,
                Err(error) => Err(error),
            };
            if let Err(error) = worked {
                let cause = &error as &dyn std::error::Error;
                // A refusal does not go away by itself.
                if error.code().is_some() && !std::mem::replace(&mut refused, true) {
                    tracing::warn!(error = cause, "cannot take expired messages");
                } else {
                    tracing::debug!(error = cause, "cannot take expired messages");
                }
            }
            if self.site.strong_count() == 0 {
                return;
            }
            sleep(backoff.next_pause()).await;
        }
    }

    /// Looks whether the broker still has what it had.
    async fn look_for_data(&self, session: &Arc<Session>) -> Result<()> {
        let Some(site) = self.site.upgrade() else {
            return Ok(());
        };
        if self.sign.renew(&site.topology, session).await? {
            return Ok(());
        }
        // Told when the next sign is there, so that it is told once.
        self.sign.leave(&site.topology, session).await?;
        if self.seen.swap(true, Ordering::Relaxed) {
            site.counters.data_lost();
            tracing::warn!(
                broker = %session.broker(),
                "the broker was emptied: messages and groups that were there are gone",
            );
        }
        Ok(())
    }

    async fn consume(&self, session: &Arc<Session>) -> Result<()> {
        let queue = match self.site.upgrade() {
            Some(site) => {
                let topology = &site.topology;
                if site.groups == GroupsForm::Compatible {
                    topology.declare_shared_dead_letters(session).await?;
                    topology.dead_letters()
                } else {
                    topology.declare_dead_letters(session).await?;
                    topology.own_dead_letters()
                }
            }
            None => return Ok(()),
        };
        let amqp_channel = session.own_channel(BATCH as u16).await?;
        let consume = amqp_channel.basic_consume(
            queue,
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let mut deliveries = session.bounded(consume).await?.ready_chunks(BATCH);
        let mut renewed = Instant::now();
        loop {
            let next = timeout_at(renewed + sign::RENEW_EVERY, deliveries.next()).await;
            let (Some(site), Some(ear)) = (self.site.upgrade(), self.ear.upgrade()) else {
                return Ok(());
            };
            let Ok(next) = next else {
                self.sign.renew(&site.topology, session).await?;
                renewed = Instant::now();
                continue;
            };
            let Some(batch) = next else {
                return Ok(());
            };
            let batch: Result<Vec<Delivery>, lapin::Error> = batch.into_iter().collect();
            let batch = batch.map_err(|error| session.failed(error))?;
            let Some(last) = batch.last().map(|delivery| delivery.delivery_tag) else {
                continue;
            };
            if site.groups == GroupsForm::Compatible {
                // First of all, so that nothing is passed on twice.
                acknowledge(session, &amqp_channel, last).await?;
                carry_out(&site, session, batch).await?;
            } else {
                tell(&site, &ear, session, &batch).await?;
                acknowledge(session, &amqp_channel, last).await?;
            }
        }
    }
}

/// Acknowledges all up to this one, and waits until the broker has seen it.
async fn acknowledge(session: &Session, amqp_channel: &Channel, last: u64) -> Result<()> {
    let options = BasicAckOptions { multiple: true };
    let (acknowledged, seen) = session
        .bounded(async {
            Ok(tokio::join!(
                amqp_channel.basic_ack(last, options),
                amqp_channel.basic_qos(BATCH as u16, BasicQosOptions::default())
            ))
        })
        .await?;
    acknowledged
        .and(seen)
        .map_err(|error| session.failed(error))
}

/// Tells of channels whose messages expired.
async fn tell(
    site: &Site,
    ear: &Arc<Ear>,
    session: &Arc<Session>,
    batch: &[Delivery],
) -> Result<()> {
    let mut expired: HashMap<ChannelName, f64> = HashMap::new();
    let mut count = 0;
    for delivery in batch {
        if let Some(time) = time_of_death(delivery) {
            count += 1;
            let channels = channels_of(site, delivery);
            expired.extend(channels.into_iter().map(|channel| (channel, time)));
        }
    }
    site.counters.expired(count);
    let telling = expired.into_iter().map(async |(channel, time)| {
        let queue = channel.to_non_local();
        let event = Event::Expired { channel, time };
        ear.tell_all(session, queue.as_str(), &event).await
    });
    join_all(telling).await.into_iter().collect()
}

/// Does what Python's layer does with dead letters.
async fn carry_out(site: &Site, session: &Arc<Session>, batch: Vec<Delivery>) -> Result<()> {
    let mut messages = Vec::new();
    for delivery in batch {
        let Some(death) = death(&delivery) else {
            continue;
        };
        let (Some(reason), Some(queue)) = (text(death, "reason"), text(death, "queue")) else {
            continue;
        };
        let Some(queue) = site.topology.channel_of(queue) else {
            continue;
        };
        if reason == "expired" {
            site.counters.expired(1);
        }
        let local = local_part(&delivery);
        let marker = || {
            let marker = site.codec.decode(delivery.data.clone().into()).ok()?;
            let group = GroupName::new(marker.text("group").ok()?.clone()).ok()?;
            let channel = ChannelName::new(marker.text("channel").ok()?.clone()).ok()?;
            Some((group, channel))
        };
        match Task::of(reason, queue, local.as_deref(), marker) {
            Some(Task::PassOn(channel)) => messages.push((channel, delivery.data)),
            Some(task) => task.carry_out(site, session).await?,
            None => {}
        }
    }
    pass_on(site, session, &messages).await
}

/// When a message expired, in seconds of Unix time; `None` if it died of something else.
///
/// The broker tells whole seconds. A process that was late must not end memberships that began
/// in the meantime.
fn time_of_death(delivery: &Delivery) -> Option<f64> {
    let death = death(delivery)?;
    if text(death, "reason")? != "expired" {
        return None;
    }
    let told = match death.inner().get("time")? {
        AMQPValue::Timestamp(seconds) => *seconds as f64 + 1.0,
        _ => return None,
    };
    Some(now().min(told))
}

/// The channels that a message was for.
fn channels_of(site: &Site, delivery: &Delivery) -> Vec<ChannelName> {
    let queue = death(delivery)
        .and_then(|death| text(death, "queue"))
        .and_then(|queue| site.topology.channel_of(queue).map(str::to_owned))
        .and_then(|queue| ChannelName::new(queue).ok());
    let Some(queue) = queue else {
        return Vec::new();
    };
    if queue.kind() != ChannelKind::ProcessSpecific {
        return vec![queue];
    }
    if crate::receive::is_envelope(delivery) {
        let body = delivery.data.clone().into();
        let opened = envelope::open(&site.codec, &Codec::new(), &queue, body);
        return opened.map_or_else(|_| Vec::new(), |(_, channels)| channels);
    }
    let local = local_part(delivery).unwrap_or_default();
    queue.with_local_part(&local).into_iter().collect()
}

/// The latest death of a message.
fn death(delivery: &Delivery) -> Option<&FieldTable> {
    let headers = delivery.properties.headers().as_ref()?;
    let AMQPValue::FieldArray(deaths) = headers.inner().get(DEATHS)? else {
        return None;
    };
    match deaths.as_slice().first()? {
        AMQPValue::FieldTable(death) => Some(death),
        _ => None,
    }
}

fn text<'t>(table: &'t FieldTable, key: &str) -> Option<&'t str> {
    match table.inner().get(key)? {
        AMQPValue::LongString(text) => str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}
