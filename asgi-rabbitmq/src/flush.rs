//! The flush extension.
//!
//! The broker cannot be asked which queues there are. Every process therefore notes the names of
//! queues and groups that it uses in a queue of names, where they stay as long as what they name
//! may have content.

use std::collections::BTreeSet;

use asgiref::{Flush, Result};
use async_trait::async_trait;
use futures_util::future::join_all;
use lapin::options::QueuePurgeOptions;
use lapin::types::{FieldTable, ShortString};

use crate::config::GroupsForm;
use crate::groups::compatible;
use crate::layer::RabbitmqChannelLayer;
use crate::news::{Event, read_log};

/// How many queues are emptied at once.
const MAX_EMPTIED: usize = 64;

#[async_trait]
impl Flush for RabbitmqChannelLayer {
    async fn flush(&self) -> Result<()> {
        let site = self.site();
        let session = site.broker.session().await?;
        let topology = &site.topology;
        let events = read_log(&session, &topology.names(), latest).await?;
        let names: BTreeSet<String> = events
            .into_iter()
            .filter_map(|event| match event {
                Event::Named { name } => Some(name),
                _ => None,
            })
            .collect();
        let names: Vec<String> = names.into_iter().collect();
        for names in names.chunks(MAX_EMPTIED) {
            let emptying = names.iter().map(|name| self.empty(name));
            for emptied in join_all(emptying).await {
                emptied?;
            }
        }
        self.empty_queue(
            topology.own_dead_letters(),
            topology.dead_letters_arguments(),
        )
        .await?;
        self.inner.ear.open(&session).await?;
        self.inner
            .ear
            .tell_all(&session, "", &Event::Flushed)
            .await?;
        self.inner.ear.catch_up(&session).await.map_err(Into::into)
    }
}

impl RabbitmqChannelLayer {
    /// Empties a queue of a channel, or a group.
    async fn empty(&self, name: &str) -> Result<()> {
        let site = self.site();
        let is_group = site.topology.group_of(name).is_some();
        if is_group && site.groups == GroupsForm::Compatible {
            let session = site.broker.session().await?;
            return Ok(compatible::clear(site, &session, name).await?);
        }
        let arguments = match is_group {
            true => site.topology.log_arguments(),
            false => site.topology.queue_arguments(),
        };
        self.empty_queue(name.into(), arguments).await
    }

    /// Declared first, because it may be gone; it goes again.
    async fn empty_queue(&self, queue: ShortString, arguments: FieldTable) -> Result<()> {
        let site = self.site();
        let session = site.broker.session().await?;
        let amqp_channel = session.declare_channel().await?;
        let options = site.topology.queue_options();
        let emptying = async {
            let (declared, emptied) = tokio::join!(
                amqp_channel.queue_declare(queue.clone(), options, arguments),
                amqp_channel.queue_purge(queue.clone(), QueuePurgeOptions::default())
            );
            declared?;
            emptied
        };
        session.bounded(emptying).await?;
        Ok(())
    }
}

/// Of each name the latest note.
fn latest(events: &[Event]) -> Vec<bool> {
    let mut seen = BTreeSet::new();
    let mut keep: Vec<bool> = events
        .iter()
        .rev()
        .map(|event| match event {
            Event::Named { name } => seen.insert(name),
            _ => false,
        })
        .collect();
    keep.reverse();
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_name_one_note_is_kept() {
        let named = |name: &str| Event::Named {
            name: name.to_owned(),
        };
        let events = [named("a"), named("b"), named("a"), Event::Flushed];
        assert_eq!(latest(&events), [false, true, true, false]);
    }
}
