use std::sync::{Arc, Mutex, PoisonError};

use lapin::options::{BasicQosOptions, ConfirmSelectOptions};
use lapin::{Channel, Connection};

/// How many operations use one AMQP channel before another takes its place: the client library
/// remembers what was declared on it.
const MAX_USES: u32 = 20_000;

/// An AMQP channel for one purpose, which is opened when it is needed and replaced when the
/// broker has closed it.
#[derive(Debug)]
pub(crate) struct Lane {
    purpose: Purpose,
    slot: Mutex<Slot>,
    /// Held while a channel is being opened.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Publishing, with confirms.
    Publish,
    /// Anything else.
    Plain,
    /// Consuming, at most this many messages ahead of each acknowledgement.
    Prefetch(u16),
}

#[derive(Debug, Default)]
struct Slot {
    open: Option<Channel>,
    /// Its predecessor: what was acknowledged there last must not be overtaken by its end.
    previous: Option<Channel>,
    uses: u32,
}

impl Lane {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            slot: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// The channel, open.
    pub(crate) async fn channel(
        &self,
        connection: &Arc<Connection>,
    ) -> Result<Channel, lapin::Error> {
        if let Some(open) = self.open() {
            return Ok(open);
        }
        let _opening = self.opening.lock().await;
        if let Some(open) = self.open() {
            return Ok(open);
        }
        let channel = open(connection, self.purpose).await?;
        let mut slot = self.lock();
        slot.open = Some(channel.clone());
        slot.uses = 0;
        Ok(channel)
    }

    /// What is there, if the broker has not closed it. Whoever still uses the one that is
    /// replaced keeps it open.
    fn open(&self) -> Option<Channel> {
        let mut slot = self.lock();
        slot.uses += 1;
        if slot.uses > MAX_USES {
            slot.previous = slot.open.take();
        }
        slot.open
            .as_ref()
            .filter(|channel| channel.status().connected())
            .cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens an AMQP channel for a purpose.
pub(crate) async fn open(
    connection: &Connection,
    purpose: Purpose,
) -> Result<Channel, lapin::Error> {
    let channel = connection.create_channel().await?;
    match purpose {
        Purpose::Publish => {
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
        }
        Purpose::Prefetch(count) => {
            channel.basic_qos(count, BasicQosOptions::default()).await?;
        }
        Purpose::Plain => {}
    }
    Ok(channel)
}
