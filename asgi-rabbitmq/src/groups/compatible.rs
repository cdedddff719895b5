//! Groups as Python's `asgi_rabbitmq` keeps them, so that both sides can join them and send.
//!
//! | what | is |
//! |---|---|
//! | a group | a fanout exchange of its name |
//! | a member | an exchange of its name, bound to the group's, and its queue bound to that |
//! | a process-specific member | a queue of its full name and of length zero, bound to the group's exchange |
//! | the end of a membership | a message in a queue of its own, which expires with it |
//!
//! What is delivered to a queue of length zero becomes a dead letter at once, and whoever takes
//! dead letters sends it on to the queue of the member's process. See `dead_letters`.
//!
//! AMQP does not say who is bound to an exchange, so that members cannot be listed, nor their
//! queues' lengths be asked.

use std::sync::Arc;

use asgiref::{ChannelKind, ChannelName, GroupName, Message, Result, message};
use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, ExchangeUnbindOptions,
    QueueBindOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, ExchangeKind};

use crate::connection::{Session, Side};
use crate::error::{Error, NOT_FOUND};
use crate::outbox::try_all;
use crate::site::Site;
use crate::topology::{MARKER, Topology, integer};

/// The longest name of AMQP.
const MAX_NAME: usize = 255;

/// Declares and binds what makes `channel` a member.
pub(super) async fn add(
    site: &Site,
    session: &Arc<Session>,
    group: &GroupName,
    channel: &ChannelName,
) -> Result<()> {
    let topology = &site.topology;
    let marker = topology.marker(group, channel)?;
    let amqp_channel = session.own_declare_channel().await?;
    let body = site.codec.encode(&message! {
        "group" => group.as_str(),
        "channel" => channel.as_str(),
    })?;
    let binding = async {
        amqp_channel
            .queue_declare(
                marker.clone(),
                topology.queue_options(),
                topology.marker_arguments(),
            )
            .await?;
        amqp_channel
            .exchange_declare(
                topology.exchange(group.as_str()),
                ExchangeKind::Fanout,
                topology.exchange_options(),
                FieldTable::default(),
            )
            .await?;
        if channel.kind() == ChannelKind::ProcessSpecific {
            bind_process_specific(topology, &amqp_channel, group, channel).await
        } else {
            bind_other(topology, &amqp_channel, group, channel).await
        }
    };
    session.bounded(binding).await?;
    let log = topology.group_log(group);
    let queue = topology.queue(channel.non_local());
    // For a flush.
    site.queues.record(session, topology, log.as_str()).await?;
    site.queues.record(session, topology, &queue).await?;
    mark(topology, session, marker, &body).await
}

/// Leaves the message that ends with the membership.
async fn mark(
    topology: &Topology,
    session: &Arc<Session>,
    marker: ShortString,
    body: &[u8],
) -> Result<()> {
    let amqp_channel = session.publish_channel().await?;
    let properties = BasicProperties::default();
    let publishing = session.publish(&amqp_channel, "", marker.clone(), body, properties);
    // The queue outlives its message by next to nothing. If it went first, nobody would learn that
    // the membership is over: its time, too, begins when the message is there.
    let renewing = amqp_channel.queue_declare(
        marker,
        topology.queue_options(),
        topology.marker_arguments(),
    );
    let both = session.bounded(async {
        let (published, renewed) = tokio::join!(publishing, renewing);
        renewed.and(published)
    });
    both.await?;
    Ok(())
}

async fn bind_process_specific(
    topology: &Topology,
    amqp_channel: &Channel,
    group: &GroupName,
    channel: &ChannelName,
) -> Result<(), lapin::Error> {
    let queue = ShortString::from(topology.queue(channel.as_str()));
    amqp_channel
        .queue_declare(
            queue.clone(),
            topology.queue_options(),
            topology.member_arguments(),
        )
        .await?;
    amqp_channel
        .queue_bind(
            queue.clone(),
            topology.exchange(group.as_str()),
            queue,
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}

async fn bind_other(
    topology: &Topology,
    amqp_channel: &Channel,
    group: &GroupName,
    channel: &ChannelName,
) -> Result<(), lapin::Error> {
    let exchange = topology.exchange(channel.as_str());
    let queue = ShortString::from(topology.queue(channel.as_str()));
    amqp_channel
        .exchange_declare(
            exchange.clone(),
            ExchangeKind::Fanout,
            ExchangeDeclareOptions {
                auto_delete: true,
                ..topology.exchange_options()
            },
            FieldTable::default(),
        )
        .await?;
    amqp_channel
        .queue_declare(
            queue.clone(),
            topology.queue_options(),
            topology.queue_arguments(),
        )
        .await?;
    amqp_channel
        .exchange_bind(
            exchange.clone(),
            topology.exchange(group.as_str()),
            "".into(),
            ExchangeBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    amqp_channel
        .queue_bind(
            queue.clone(),
            exchange,
            queue,
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}

/// Unbinds what made `channel` a member.
pub(crate) async fn discard(
    site: &Site,
    session: &Arc<Session>,
    group: &GroupName,
    channel: &ChannelName,
) -> Result<(), Error> {
    let topology = &site.topology;
    let amqp_channel = session.own_declare_channel().await?;
    let exchange = topology.exchange(group.as_str());
    let unbound = if channel.kind() == ChannelKind::ProcessSpecific {
        let queue = ShortString::from(topology.queue(channel.as_str()));
        let unbind =
            amqp_channel.queue_unbind(queue.clone(), exchange, queue, FieldTable::default());
        session.bounded(unbind).await
    } else {
        let unbind = amqp_channel.exchange_unbind(
            topology.exchange(channel.as_str()),
            exchange,
            "".into(),
            ExchangeUnbindOptions::default(),
            FieldTable::default(),
        );
        session.bounded(unbind).await
    };
    match unbound {
        // It was no member.
        Err(Error::Refused {
            code: NOT_FOUND, ..
        }) => Ok(()),
        unbound => unbound,
    }
}

/// Removes all members of a group whose log, in the other form, would have this name. What Python's
/// layer sends to is still there afterwards: it takes an exchange that is missing ill.
pub(crate) async fn clear(site: &Site, session: &Arc<Session>, log: &str) -> Result<(), Error> {
    let topology = &site.topology;
    let Some(group) = topology.group_of(log) else {
        return Ok(());
    };
    let exchange = topology.exchange(group);
    let amqp_channel = session.own_declare_channel().await?;
    let clearing = async {
        amqp_channel
            .exchange_delete(exchange.clone(), ExchangeDeleteOptions::default())
            .await?;
        let options = topology.exchange_options();
        let arguments = FieldTable::default();
        amqp_channel
            .exchange_declare(exchange, ExchangeKind::Fanout, options, arguments)
            .await
    };
    session.bounded(clearing).await
}

/// Sends to whoever is bound.
pub(super) async fn send(
    site: &Site,
    session: &Arc<Session>,
    group: &GroupName,
    message: &Message,
) -> Result<()> {
    let topology = &site.topology;
    let body = site.codec.encode(message)?;
    let exchange = topology.exchange(group.as_str());
    // To publish to an exchange that is not there would close the AMQP channel under others.
    let amqp_channel = session.own_declare_channel().await?;
    let options = ExchangeDeclareOptions {
        passive: true,
        ..topology.exchange_options()
    };
    let look = amqp_channel.exchange_declare(
        exchange.clone(),
        ExchangeKind::Fanout,
        options,
        FieldTable::default(),
    );
    match session.bounded(look).await {
        Ok(()) => {}
        // Nobody ever joined.
        Err(Error::Refused {
            code: NOT_FOUND, ..
        }) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let publish_channel = session.publish_channel().await?;
    let properties = BasicProperties::default().with_expiration(topology.expiration());
    let publishing = session.publish(
        &publish_channel,
        exchange.as_str(),
        "".into(),
        &body,
        properties,
    );
    session.bounded(publishing).await?;
    Ok(())
}

/// What a dead letter asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Task {
    /// A membership is over.
    Discard(GroupName, ChannelName),
    /// A message died unread: its channel leaves all groups.
    Leave(ChannelName),
    /// A message to a group is for this member.
    PassOn(ChannelName),
}

impl Task {
    /// `reason` and `queue` are those of the latest death, `local` is the header with the local
    /// part, `marker` is what a membership's message says.
    pub(crate) fn of(
        reason: &str,
        queue: &str,
        local: Option<&str>,
        marker: impl FnOnce() -> Option<(GroupName, ChannelName)>,
    ) -> Option<Self> {
        let is_marker = queue.starts_with(MARKER);
        match reason {
            "expired" if is_marker => {
                let (group, channel) = marker()?;
                Some(Self::Discard(group, channel))
            }
            "expired" => {
                let queue = ChannelName::new(queue.to_owned()).ok()?;
                match queue.kind() {
                    ChannelKind::ProcessSpecific => {
                        let channel = queue.with_local_part(local.unwrap_or_default()).ok()?;
                        Some(Self::Leave(channel))
                    }
                    _ => Some(Self::Leave(queue)),
                }
            }
            // A membership that was renewed.
            "maxlen" if is_marker => None,
            "maxlen" => {
                let channel = ChannelName::new(queue.to_owned()).ok()?;
                let is_member = channel.kind() == ChannelKind::ProcessSpecific;
                is_member.then_some(Self::PassOn(channel))
            }
            _ => None,
        }
    }

    /// Does it. Messages are passed on by [`pass_on`], all at once.
    pub(crate) async fn carry_out(&self, site: &Site, session: &Arc<Session>) -> Result<(), Error> {
        let topology = &site.topology;
        match self {
            Self::Discard(group, channel) => discard(site, session, group, channel).await,
            Self::Leave(channel) => {
                let amqp_channel = session.own_declare_channel().await?;
                if channel.kind() == ChannelKind::ProcessSpecific {
                    let queue = topology.queue(channel.as_str());
                    let delete = amqp_channel.queue_delete(queue.into(), Default::default());
                    session.bounded(delete).await.map(|_| ())
                } else {
                    let exchange = topology.exchange(channel.as_str());
                    let delete = amqp_channel.exchange_delete(exchange, Default::default());
                    session.bounded(delete).await
                }
            }
            Self::PassOn(_) => Ok(()),
        }
    }
}

/// Sends messages to groups on to members, in this order.
pub(crate) async fn pass_on(
    site: &Site,
    session: &Arc<Session>,
    messages: &[(ChannelName, Vec<u8>)],
) -> Result<(), Error> {
    let topology = &site.topology;
    for (channel, _) in messages {
        site.queues
            .ensure(session, Side::Talk, topology, channel.non_local())
            .await?;
    }
    let amqp_channel = session.publish_channel().await?;
    let passing = messages.iter().map(|(channel, body)| {
        let mut headers = FieldTable::default();
        let local = channel.local_part().unwrap_or_default();
        let local = AMQPValue::LongString(local.into());
        headers.insert(crate::topology::CHANNEL_HEADER.into(), local);
        let properties = BasicProperties::default()
            .with_expiration(topology.expiration())
            .with_headers(headers);
        let queue = topology.queue(channel.non_local());
        session.publish(&amqp_channel, "", queue.into(), body, properties)
    });
    session.bounded(try_all(passing)).await?;
    Ok(())
}

impl Topology {
    /// The exchange of a group, or of a member.
    fn exchange(&self, name: &str) -> ShortString {
        self.name("", name)
    }

    /// The queue whose message ends with a membership.
    fn marker(&self, group: &GroupName, channel: &ChannelName) -> Result<ShortString> {
        let marker = format!("{}{MARKER}{group}.{channel}", self.prefix());
        let bytes = marker.len();
        ShortString::try_new(marker).map_err(|_| {
            let reason = format!(
                "together with the channel's it is too long for a name of RabbitMQ in the \
                 compatible form of groups, by {} bytes",
                bytes.saturating_sub(MAX_NAME)
            );
            asgiref::Error::config("groups", reason)
        })
    }

    /// The arguments of the queue of a process-specific member.
    fn member_arguments(&self) -> FieldTable {
        let mut arguments = self.dead_letter_arguments();
        arguments.insert("x-expires".into(), integer(self.group_lease()));
        arguments.insert("x-max-length".into(), integer(0));
        arguments
    }

    /// The arguments of the queue whose message ends with a membership.
    fn marker_arguments(&self) -> FieldTable {
        let mut arguments = self.dead_letter_arguments();
        let lease = self.group_lease();
        arguments.insert("x-max-length".into(), integer(1));
        arguments.insert("x-message-ttl".into(), integer(lease));
        arguments.insert("x-expires".into(), integer(lease + MARKER_GRACE));
        arguments
    }
}

/// How long such a queue outlives its message, in milliseconds.
const MARKER_GRACE: i64 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    fn task(reason: &str, queue: &str, local: Option<&str>) -> Option<Task> {
        Task::of(reason, queue, local, || {
            Some((GroupName::from_static("g"), ChannelName::from_static("a!b")))
        })
    }

    #[test]
    fn dead_letters_are_read_as_the_original_reads_them() {
        let member = ChannelName::from_static("resp.A!m1");
        assert_eq!(
            task("maxlen", "resp.A!m1", None),
            Some(Task::PassOn(member.clone()))
        );
        assert_eq!(
            task("expired", "resp.A!", Some("m1")),
            Some(Task::Leave(member))
        );
        assert_eq!(
            task("expired", "chan1", None),
            Some(Task::Leave(ChannelName::from_static("chan1")))
        );
        assert_eq!(
            task("expired", "expire.bind.g.a!b", None),
            Some(Task::Discard(
                GroupName::from_static("g"),
                ChannelName::from_static("a!b")
            ))
        );
        assert_eq!(task("maxlen", "expire.bind.g.chan1", None), None);
        assert_eq!(task("maxlen", "expire.bind.g.resp.A!m1", None), None);
        assert_eq!(task("maxlen", "chan1", None), None);
        assert_eq!(task("rejected", "chan1", None), None);
    }
}
