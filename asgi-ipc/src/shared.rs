//! What all handles to one layer share: the segment, and the calls that wait.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::task::Waker;

use asgiref::codec::{Codec, DEFAULT_LIMIT};
use asgiref::{ChannelName, DroppedDeliveries, LayerConfig, Message};
use rand::Rng as _;

use crate::config::Place;
use crate::error::Error;
use crate::file;
use crate::presence::Presence;
use crate::segment::{Checked, Segment};
use crate::store::{Effects, Locked, Outgoing, Popped, Quick, Refused, Store, Taken};
use crate::waiting::{Registration, Waiting};
use crate::watchdog::Watchdog;

/// What `receive` returns.
pub(crate) type Received = (ChannelName, Message);

pub(crate) struct Shared {
    pub(crate) config: LayerConfig,
    pub(crate) place: Place,
    pub(crate) codec: Codec,
    pub(crate) store: Store,
    pub(crate) waiting: Waiting,
    pub(crate) watchdog: Watchdog,
    pub(crate) dropped: DroppedDeliveries,
    presence: Presence,
    me: Weak<Self>,
}

/// Why a call does not wait.
enum Arrival<T> {
    Message(T),
    /// It does.
    Nothing,
    /// It cannot: there is no room for a channel.
    NoRoom,
}

impl Arrival<(usize, Taken)> {
    fn read(self, segment: &Segment) -> Checked<Arrival<(usize, Popped)>> {
        Ok(match self {
            Self::Message((index, taken)) => Arrival::Message((index, taken.read(segment)?)),
            Self::Nothing => Arrival::Nothing,
            Self::NoRoom => Arrival::NoRoom,
        })
    }
}

impl Shared {
    pub(crate) fn open(config: LayerConfig, place: Place) -> Result<Arc<Self>, Error> {
        let path = place.path();
        let opened = file::open_or_create(
            &path,
            place.file_mode,
            place.message_memory,
            place.group_memory,
        )?;
        let store = Store::open(&path, &opened, place.file_mode, config.message_expiry())?;
        let presence = Presence::new(path.clone(), &opened.metadata(&path)?);
        let dropped = DroppedDeliveries::new(place.layer_name());
        let limit = store.layout().longest_message().min(DEFAULT_LIMIT);
        Ok(Arc::new_cyclic(|me| Self {
            config,
            place,
            codec: Codec::new().limit(limit),
            store,
            waiting: Waiting::default(),
            watchdog: Watchdog::new(),
            dropped,
            presence,
            me: Weak::clone(me),
        }))
    }

    pub(crate) fn path(&self) -> &Path {
        self.presence.path()
    }

    /// Does something in the store, as [`Store::run`], and what follows from it.
    pub(crate) fn run<T>(&self, work: impl FnMut(&Locked<'_>) -> Checked<T>) -> Result<T, Error> {
        let (result, effects) = self.store.run(work)?;
        self.finish(effects);
        Ok(result)
    }

    /// The same for [`Store::run_once`].
    pub(crate) fn run_once<T>(
        &self,
        work: impl FnOnce(&Locked<'_>) -> Checked<T>,
    ) -> Result<T, Error> {
        self.presence.check()?;
        let (result, effects) = self.store.run_once(work)?;
        self.finish(effects);
        Ok(result)
    }

    /// Sends a message.
    pub(crate) fn send(&self, outgoing: &Outgoing<'_>) -> Result<Result<(), Refused>, Error> {
        self.presence.check()?;
        let (sent, effects) = self.store.send(outgoing)?;
        self.finish(effects);
        Ok(sent)
    }

    // ---- Receiving

    /// A message from any of `channels`, if there is one.
    pub(crate) fn try_receive(&self, channels: &[ChannelName]) -> Result<Option<Received>, Error> {
        if channels.is_empty() {
            return Ok(None);
        }
        self.presence.check()?;
        loop {
            let Some((index, popped)) = self.take(channels)? else {
                return Ok(None);
            };
            if let Some(received) = self.decode(&channels[index], popped) {
                return Ok(Some(received));
            }
        }
    }

    /// A message from any of `channels`, without the lock as far as possible.
    fn take(&self, channels: &[ChannelName]) -> Result<Option<(usize, Popped)>, Error> {
        let start = random_start(channels);
        for index in (start..channels.len()).chain(0..start) {
            match self.store.take_quickly(channels[index].non_local()) {
                Quick::Message(popped) => return Ok(Some((index, popped))),
                Quick::Nothing => {}
                Quick::Unsure => {
                    let (popped, effects) = self
                        .store
                        .receive(|locked| pop_any(locked, channels, index), read_any)?;
                    self.finish(effects);
                    return Ok(popped);
                }
            }
        }
        Ok(None)
    }

    /// A message from any of `channels`; if there is none, the call has a place in their lines.
    pub(crate) fn receive_or_join(
        &self,
        registration: &mut Registration<'_>,
    ) -> Result<Option<Received>, Error> {
        let channels = registration.channels();
        loop {
            let start = random_start(channels);
            let mut queues = self.waiting.lock();
            registration.join(&mut queues);
            let arrival = self.store.receive(
                |locked| {
                    if let Some(taken) = pop_any(locked, channels, start)? {
                        return Ok(Arrival::Message(taken));
                    }
                    for channel in channels {
                        match locked.channel(channel.non_local())? {
                            Some(channel) => locked.set_waiting(channel, true)?,
                            None => return Ok(Arrival::NoRoom),
                        }
                    }
                    Ok(Arrival::Nothing)
                },
                Arrival::read,
            );
            if !matches!(arrival, Ok((Arrival::Nothing, _))) {
                registration.leave(&mut queues);
            }
            drop(queues);
            let (arrival, effects) = arrival?;
            self.finish(effects);
            match arrival {
                Arrival::Nothing => return Ok(None),
                Arrival::NoRoom => return Err(Error::MessageMemoryFull),
                Arrival::Message((index, popped)) => {
                    if let Some(received) = self.decode(&channels[index], popped) {
                        return Ok(Some(received));
                    }
                }
            }
        }
    }

    /// A message for a call that was woken; none if somebody else was faster. The call has no
    /// places then.
    pub(crate) fn receive_woken(
        &self,
        registration: &mut Registration<'_>,
    ) -> Result<Option<Received>, Error> {
        let channels = registration.channels();
        match self.leave(registration, true)? {
            Some((index, popped)) => Ok(self.decode(&channels[index], popped)),
            None => Ok(None),
        }
    }

    /// Takes a call that is dropped out of the lines.
    pub(crate) fn give_up(&self, registration: &mut Registration<'_>) {
        if let Err(error) = self.leave(registration, false) {
            tracing::error!(%error, "a receive that was given up may have left a message behind");
        }
    }

    /// Takes a call out of the lines, with a message if it `wants` one, and tells others of the
    /// message it was woken for unless it got that.
    fn leave(
        &self,
        registration: &mut Registration<'_>,
        wants: bool,
    ) -> Result<Option<(usize, Popped)>, Error> {
        let channels = registration.channels();
        let start = random_start(channels);
        let mut queues = self.waiting.lock();
        let woken_for = registration.leave(&mut queues);
        let leave = |locked: &Locked<'_>| {
            let taken = if wants {
                pop_any(locked, channels, start)?
            } else {
                None
            };
            let taken_from = taken
                .as_ref()
                .map(|(index, _)| channels[*index].non_local());
            for name in channels.iter().map(ChannelName::non_local) {
                if let Some(channel) = locked.find_channel(name)? {
                    locked.set_waiting(channel, queues.waits_for(name))?;
                }
            }
            if let Some(name) = &woken_for
                && taken_from != Some(name.as_str())
                && let Some(channel) = locked.find_channel(name)?
            {
                locked.pass_on(channel)?;
            }
            Ok(taken)
        };
        let left = self.store.receive(leave, read_any);
        drop(queues);
        let (popped, effects) = left.inspect_err(|error| self.look_again(error))?;
        self.finish(effects);
        Ok(popped)
    }

    /// The message that was taken; nothing if what was there is no message, so that one that
    /// something else wrote does not keep those after it from being received.
    fn decode(&self, channel: &ChannelName, popped: Popped) -> Option<Received> {
        let decoded = name_with(channel, popped.local())
            .and_then(|name| Ok((name, self.codec.decode(popped.into_body())?)));
        match decoded {
            Ok(received) => Some(received),
            Err(error) => {
                tracing::warn!(%channel, %error, "what was in the channel is not a message");
                None
            }
        }
    }

    // ---- Waking

    /// Does what an operation in the store has left to be done.
    pub(crate) fn finish(&self, effects: Effects) {
        if effects.woke {
            self.watchdog.tell(&self.me);
        }
        if effects.news {
            self.dispatch();
        }
    }

    /// Looks at what this client was woken for, and wakes its calls.
    pub(crate) fn dispatch(&self) {
        let mut wakers = Vec::new();
        loop {
            let mut queues = self.waiting.lock();
            let taken = self
                .store
                .run(|locked| queues.take_news(locked, &mut wakers));
            drop(queues);
            wakers.drain(..).for_each(Waker::wake);
            match taken {
                Ok(((), effects)) => {
                    if effects.woke {
                        self.watchdog.tell(&self.me);
                    }
                    if !effects.news {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "messages may wait although they are waited for");
                    self.look_again(&error);
                    return;
                }
            }
        }
    }

    /// Finds clients that died, and messages that wait although clients wait for them.
    pub(crate) fn look_after(&self) {
        let looked = self.run(|locked| {
            locked.bury_the_dead()?;
            locked.wake_forgotten()?;
            locked.wake_again()
        });
        if let Err(error) = looked {
            tracing::error!(%error, "cannot look after messages of processes that ended");
            self.look_again(&error);
        }
    }

    /// What could not be done because a process was stopped is done when it goes on.
    fn look_again(&self, error: &Error) {
        if matches!(error, Error::Stuck { .. }) {
            self.watchdog.tell(&self.me);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.waiting.close();
    }
}

/// The oldest message of the first of `channels` that has one, and which that is.
fn pop_any(
    locked: &Locked<'_>,
    channels: &[ChannelName],
    start: usize,
) -> Checked<Option<(usize, Taken)>> {
    for index in (start..channels.len()).chain(0..start) {
        if let Some(taken) = locked.pop(channels[index].non_local())? {
            return Ok(Some((index, taken)));
        }
    }
    Ok(None)
}

fn read_any(taken: Option<(usize, Taken)>, segment: &Segment) -> Checked<Option<(usize, Popped)>> {
    taken
        .map(|(index, taken)| Ok((index, taken.read(segment)?)))
        .transpose()
}

/// Where to begin, so that a busy channel does not starve those after it.
fn random_start(channels: &[ChannelName]) -> usize {
    if channels.len() < 2 {
        return 0;
    }
    rand::rng().random_range(0..channels.len())
}

fn name_with(channel: &ChannelName, local: &[u8]) -> asgiref::Result<ChannelName> {
    if local.is_empty() {
        return Ok(channel.clone());
    }
    let local = std::str::from_utf8(local)
        .map_err(|_| asgiref::Error::invalid_message("channel", "its name is not text"))?;
    channel.with_local_part(local)
}
