//! The task that takes messages off the broker for those who wait in this process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use asgiref::{Backoff, ChannelName};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::select_all;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::{Instant, sleep};

use super::Hub;
use super::fetch::{Fetched, fetch};
use super::parcel::Ready;
use super::state::Demand;
use crate::connection::{Session, Side};
use crate::error::{NOT_FOUND, Result};

/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// After how much silence a connection is checked while messages are waited for.
const CHECK_AFTER: Duration = Duration::from_millis(1500);

/// How many sets of channels are asked about at once.
const MAX_ASKED: usize = 32;

/// Works until the layer is dropped.
pub(super) async fn work(hub: Arc<Hub>) {
    let desk = Desk { hub };
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut failing_since = None;
    loop {
        match desk.pass().await {
            Ok(Pass::Closed) => {
                desk.hub.leave().await;
                return;
            }
            Ok(Pass::Worked) => {
                backoff.reset();
                failing_since = None;
            }
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot receive at the moment",
                );
                let since = *failing_since.get_or_insert_with(Instant::now);
                let patience = desk.hub.site.broker.options().connect_timeout;
                // A queue that was deleted in the meantime is declared again.
                let refused = error.code().is_some_and(|code| code != NOT_FOUND);
                if refused || since.elapsed() >= patience {
                    desk.hub.lock().fail(&error);
                }
                sleep(backoff.next_pause()).await;
            }
        }
    }
}

enum Pass {
    Worked,
    Closed,
}

struct Desk {
    hub: Arc<Hub>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.hub.lock().abandon();
    }
}

impl Desk {
    /// Does what there is to do, or waits until there is something.
    async fn pass(&self) -> Result<Pass> {
        let (demand, closed) = {
            let mut state = self.hub.lock();
            let demand = state.demand();
            state.at_rest = demand.is_empty();
            (demand, state.closed)
        };
        if closed {
            return Ok(Pass::Closed);
        }
        if demand.is_empty() {
            self.hub.changed.notified().await;
            return Ok(Pass::Worked);
        }
        if self.ask(&demand).await? {
            return Ok(Pass::Worked);
        }
        self.wait(&demand).await?;
        Ok(Pass::Worked)
    }

    /// Asks for messages on the channels that somebody waits for; returns whether any came.
    async fn ask(&self, demand: &[Demand]) -> Result<bool> {
        let start = rand::random_range(0..demand.len());
        let turned = demand[start..].iter().chain(&demand[..start]);
        let asking = turned.take(MAX_ASKED).map(async |demand| {
            let channels = &demand.channels;
            let wanted = || self.hub.lock().callers(channels);
            let Fetched { parcels, more } =
                fetch(&self.hub.site, channels, demand.callers, wanted).await?;
            let came = !parcels.is_empty();
            self.hub
                .hand_out(channels, parcels.into_iter().map(Ready::Parcel));
            Ok(came || more)
        });
        let mut any = false;
        for asked in join_all(asking).await {
            any |= asked?;
        }
        Ok(any)
    }

    /// Waits until a message comes, or there is something else to do.
    async fn wait(&self, demand: &[Demand]) -> Result<()> {
        let queues: BTreeSet<&ChannelName> = demand
            .iter()
            .flat_map(|demand| demand.channels.iter())
            .collect();
        let session = self.hub.site.broker.session().await?;
        let site = &self.hub.site;
        let preparing = queues.iter().map(async |queue| {
            let name = queue.as_str();
            site.queues
                .ensure(&session, Side::Listen, &site.topology, name)
                .await?;
            self.hub.readers.show(site, &session, queue).await
        });
        for prepared in join_all(preparing).await {
            prepared?;
        }
        let bell = Bell::hang(&self.hub, &session, &queues).await?;
        let rung = bell.wait(&self.hub, &queues).await?;
        bell.take_down(&session).await?;
        let Some(queue) = rung else {
            return Ok(());
        };
        let alone = std::slice::from_ref(&queue);
        let wanted = || usize::from(self.hub.lock().is_wanted(&queue));
        let fetched = fetch(site, alone, 1, wanted).await?;
        // Whether it may stay here if its caller has just gone away.
        let class = demand.iter().find(|demand| *demand.channels == *alone);
        let class = class.map_or(Arc::default(), |demand| Arc::clone(&demand.channels));
        let parcels = fetched.parcels.into_iter().map(Ready::Parcel);
        self.hub.hand_out(&class, parcels);
        Ok(())
    }
}

/// Consumers of all queues that somebody waits for, on an AMQP channel of their own, which tell that
/// there is something: each gets one message at most, and closing the channel puts all back.
///
/// None is accepted here, because a cluster may pass the acknowledgement on to the node of the queue
/// later than the end of the channel, and then puts back what was accepted (RabbitMQ 4.0 does).
struct Bell {
    amqp_channel: Channel,
    session: Arc<Session>,
    consumers: std::sync::Mutex<Option<Vec<(ChannelName, Consumer)>>>,
}

impl Bell {
    async fn hang(
        hub: &Hub,
        session: &Arc<Session>,
        queues: &BTreeSet<&ChannelName>,
    ) -> Result<Self> {
        let amqp_channel = session.own_channel(1).await?;
        let hanging = queues.iter().map(async |queue| {
            let consumer = amqp_channel
                .basic_consume(
                    hub.site.topology.queue(queue.as_str()).into(),
                    "".into(),
                    BasicConsumeOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            Ok(((*queue).clone(), consumer))
        });
        let hung = session
            .bounded(async {
                join_all(hanging)
                    .await
                    .into_iter()
                    .collect::<Result<Vec<_>, _>>()
            })
            .await
            .inspect_err(|_| {
                for queue in queues {
                    hub.site.queues.forget(queue.as_str());
                }
            })?;
        Ok(Self {
            amqp_channel,
            session: Arc::clone(session),
            consumers: std::sync::Mutex::new(Some(hung)),
        })
    }

    /// The queue of the first message that comes; none if there is something else to do.
    async fn wait(
        &self,
        hub: &Hub,
        queues: &BTreeSet<&ChannelName>,
    ) -> Result<Option<ChannelName>> {
        let consumers = self
            .consumers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
            .unwrap_or_default();
        let streams = consumers.into_iter().map(|(queue, consumer)| {
            let ended = futures_util::stream::once(std::future::ready(None));
            let items = consumer.map(Some).chain(ended);
            items.map(move |item| (queue.clone(), item)).boxed()
        });
        let mut deliveries = select_all(streams);
        loop {
            tokio::select! {
                biased;
                () = hub.changed.notified() => {
                    if !is_still_right(hub, queues) {
                        return Ok(None);
                    }
                }
                item = deliveries.next() => match item {
                    Some((queue, Some(Ok(_)))) => return Ok(Some(queue)),
                    Some((_, Some(Err(error)))) => return Err(self.session.failed(error)),
                    // The queue was deleted.
                    Some((queue, None)) => {
                        hub.site.queues.forget(queue.as_str());
                        return Ok(None);
                    }
                    None => return Ok(None),
                },
                () = sleep(CHECK_AFTER) => {
                    let check = self.amqp_channel.basic_qos(1, BasicQosOptions::default());
                    self.session.bounded(check).await?;
                    for queue in queues {
                        hub.readers.show(&hub.site, &self.session, queue).await?;
                    }
                }
            }
        }
    }

    /// Puts back what came, and waits until the broker has done that.
    async fn take_down(&self, session: &Session) -> Result<()> {
        session
            .bounded(self.amqp_channel.close(200, "done".into()))
            .await
    }
}

/// Whether exactly these queues are waited for.
fn is_still_right(hub: &Hub, queues: &BTreeSet<&ChannelName>) -> bool {
    let mut state = hub.lock();
    if state.closed {
        return false;
    }
    let demand = state.demand();
    let wanted: BTreeSet<&ChannelName> = demand
        .iter()
        .flat_map(|demand| demand.channels.iter())
        .collect();
    wanted == *queues
}
