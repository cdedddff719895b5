//! Queues that are read as logs: by one at a time, from the beginning, and left as they were but
//! for what says nothing any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel};
use tokio::time::{Instant, sleep, timeout};

use super::event::Event;
use crate::connection::Session;
use crate::error::{ACCESS_REFUSED, Error, NOT_FOUND, Result};

/// How long the mark at the end of a log stays there if its reader is gone, in milliseconds.
const MARK_LIFE: &str = "60000";

/// Reads a log and removes what `keep` does not want from it. Empty if there is no such queue.
pub(crate) async fn read_log(
    session: &Arc<Session>,
    queue: &ShortString,
    keep: impl Fn(&[Event]) -> Vec<bool>,
) -> Result<Vec<Event>> {
    let begin = Instant::now();
    loop {
        match attempt(session, queue, &keep).await {
            Err(Error::Refused {
                code: NOT_FOUND, ..
            }) => return Ok(Vec::new()),
            // Somebody else reads it at the moment.
            Err(Error::Refused {
                code: ACCESS_REFUSED,
                ..
            }) if begin.elapsed() < session.response_timeout() => {
                sleep(Duration::from_micros(rand::random_range(1000..8000))).await;
            }
            read => return read,
        }
    }
}

async fn attempt(
    session: &Arc<Session>,
    queue: &ShortString,
    keep: &impl Fn(&[Event]) -> Vec<bool>,
) -> Result<Vec<Event>> {
    let amqp_channel = session.own_channel(0).await?;
    // Nobody else can read meanwhile. If this process dies, all is as it was.
    let options = BasicConsumeOptions {
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    let consume =
        amqp_channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default());
    let mut consumer = session.bounded(consume).await?;
    let number = rand::random();
    let mark = Event::Mark { number };
    append(session, queue, &mark, MARK_LIFE).await?;
    let mut events = Vec::new();
    let mut tags = Vec::new();
    loop {
        let next = timeout(session.response_timeout(), consumer.next()).await;
        let delivery = match next {
            Ok(Some(Ok(delivery))) => delivery,
            Ok(Some(Err(error))) => return Err(session.failed(error)),
            Ok(None) => return Ok(Vec::new()),
            Err(_) => return Err(session.silent()),
        };
        match Event::decode(delivery.data.into()) {
            Ok(Event::Mark { number: found }) if found == number => {
                acknowledge(session, &amqp_channel, &[delivery.delivery_tag]).await?;
                break;
            }
            Ok(event) => {
                events.push(event);
                tags.push(delivery.delivery_tag);
            }
            Err(error) => {
                tracing::debug!(%error, queue = queue.as_str(), "removed what is no event");
                acknowledge(session, &amqp_channel, &[delivery.delivery_tag]).await?;
            }
        }
    }
    let kept = keep(&events);
    let obsolete: Vec<u64> = tags
        .iter()
        .zip(&kept)
        .filter(|(_, kept)| !**kept)
        .map(|(tag, _)| *tag)
        .collect();
    acknowledge(session, &amqp_channel, &obsolete).await?;
    // Puts all others back where they were.
    session
        .bounded(amqp_channel.close(200, "read".into()))
        .await?;
    Ok(events)
}

/// Puts an event directly into a queue, and waits until it is there.
pub(crate) async fn append(
    session: &Arc<Session>,
    queue: &ShortString,
    event: &Event,
    life: &str,
) -> Result<()> {
    publish(session, "", queue.clone(), event, life).await
}

/// Publishes an event, and waits until it is everywhere.
pub(super) async fn publish(
    session: &Arc<Session>,
    exchange: &str,
    key: ShortString,
    event: &Event,
    life: &str,
) -> Result<()> {
    let reason = "an event cannot be encoded";
    let body = event
        .encode()
        .map_err(|_| Error::protocol(session.broker(), reason))?;
    let amqp_channel = session.publish_channel().await?;
    let properties = BasicProperties::default().with_expiration(life.into());
    let publishing = session.publish(&amqp_channel, exchange, key, &body, properties);
    session.bounded(publishing).await?;
    Ok(())
}

async fn acknowledge(session: &Session, amqp_channel: &Channel, tags: &[u64]) -> Result<()> {
    let acknowledging = tags
        .iter()
        .map(|tag| amqp_channel.basic_ack(*tag, BasicAckOptions::default()));
    session
        .bounded(async { join_all(acknowledging).await.into_iter().collect() })
        .await
}
