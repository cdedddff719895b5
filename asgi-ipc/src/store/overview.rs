//! Looking at a store from outside, for the `asgi-ipc` command.

use crate::inspect::{Channel, Client, Usage};
use crate::layout::{Pool, channel, header};
use crate::segment::Checked;

use super::Locked;

impl Locked<'_> {
    /// All channels, in alphabetical order.
    pub(crate) fn channels(&self) -> Checked<Vec<Channel>> {
        let mut channels = Vec::new();
        for channel in self.live_channels()? {
            let figures = self.figures_of(channel)?;
            channels.push(Channel {
                name: self.name_of(channel)?,
                pending: figures.pending,
                max_age: figures.max_age,
                sent: figures.sent.total,
                full: figures.full.total,
                memberships: self.get(channel.at + channel::MEMBERS)?,
                waited_for: self.is_waited_for(channel)?,
            });
        }
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(channels)
    }

    /// All clients but this one.
    pub(crate) fn other_clients(&self) -> Checked<Vec<Client>> {
        let clients = self.clients()?.into_iter();
        Ok(clients
            .filter(|(slot, ..)| *slot != self.store.slot)
            .map(|(_, pid, since)| Client { pid, since })
            .collect())
    }

    /// How often the segment was repaired.
    pub(crate) fn repairs(&self) -> Checked<u32> {
        self.get(header::REPAIRS)
    }

    /// How much is in use of each kind of record.
    pub(crate) fn usage(&self) -> Checked<Vec<Usage>> {
        let names = [
            "channels",
            "places in queues",
            "blocks of 256 bytes",
            "groups",
            "memberships",
        ];
        names
            .into_iter()
            .zip(Pool::ALL)
            .map(|(what, pool)| {
                Ok(Usage {
                    what,
                    used: self.used(pool)?,
                    count: self.layout().table(pool).count,
                })
            })
            .collect()
    }
}
