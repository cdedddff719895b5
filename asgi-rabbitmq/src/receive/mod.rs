//! Receiving: one long-lived task takes messages off the broker and hands them to the callers
//! that wait in this process.
//!
//! * While there are messages they are fetched, as many as callers wait, in one round trip. When
//!   there are none, consumers wait for the first, which is then fetched.
//! * A message is acknowledged, and the broker has seen that, before anybody gets it: it is never
//!   delivered twice, whatever becomes of the connection.
//! * What nobody wants any more is not acknowledged and so goes back to the head of its queue. A
//!   message whose caller goes away in the very moment between acknowledgement and delivery goes
//!   to another caller or goes back to the end of its queue. One of a channel with a single reader
//!   stays here, in its place, until a call asks for it or its queue is found empty.

mod back;
mod desk;
mod fetch;
mod parcel;
mod settle;
mod state;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Clock};

use asgiref::codec::Codec;
use asgiref::{ChannelKind, ChannelName, Error as AsgiError, Message};
use tokio::sync::{Notify, oneshot};
use tokio::task::coop::consume_budget;
use tokio::time::sleep;

use crate::error::{Error, Result};
use crate::groups::Readers;
use crate::outbox::Outbox;
use crate::site::Site;

use parcel::{Parcel, Ready};
use state::State;

pub(crate) use parcel::{is_envelope, local_part};

/// How long the connections stay after the last message was acknowledged: within a cluster their
/// end may overtake an acknowledgement, and the message would be delivered again.
const PARTING: Duration = Duration::from_millis(100);

/// Where callers and the task that receives meet.
#[derive(Debug)]
pub(crate) struct Hub {
    site: Arc<Site>,
    outbox: Arc<Outbox>,
    readers: Arc<Readers>,
    /// For what is in envelopes, which is not encrypted a second time.
    plain: Codec,
    state: Mutex<State>,
    /// Told when somebody comes or goes.
    changed: Notify,
    /// When a poisoned message was logged.
    last_warning: Mutex<Option<Clock>>,
    /// How many messages are being put back.
    putting_back: AtomicUsize,
}

impl Hub {
    pub(crate) fn new(site: Arc<Site>, outbox: Arc<Outbox>, readers: Arc<Readers>) -> Self {
        Self {
            site,
            outbox,
            readers,
            plain: Codec::new(),
            state: Mutex::default(),
            changed: Notify::new(),
            last_warning: Mutex::default(),
            putting_back: AtomicUsize::new(0),
        }
    }

    /// Waits for a message on any of `channels`.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        channels: &[ChannelName],
    ) -> Result<(ChannelName, Message)> {
        loop {
            // A reader of a channel that is never empty lets other tasks of its thread run.
            consume_budget().await;
            let ready = match self.ready_or_wait(channels) {
                Ok(ready) => ready,
                Err(waiting) => waiting.ready().await?,
            };
            if let Some(received) = self.open(ready) {
                return Ok(received);
            }
        }
    }

    /// A message on any of `channels` if there is one.
    pub(crate) async fn try_receive(
        self: &Arc<Self>,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        while let Some(ready) = self.look(channels).await? {
            if let Some(received) = self.open(ready) {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    /// Forgets what was taken off the broker already.
    pub(crate) fn forget(&self) {
        self.lock().forget();
    }

    /// Ends the task, which puts back what is held and closes the connections.
    pub(crate) fn close(&self) {
        let running = {
            let mut state = self.lock();
            state.closed = true;
            state.running
        };
        if running {
            self.changed.notify_one();
        } else {
            self.site.broker.close();
        }
    }

    /// The last thing the task does.
    async fn leave(&self) {
        let kept = self.lock().drain_here();
        for ready in kept {
            self.put_back(ready).await;
        }
        sleep(PARTING).await;
        self.site.broker.close();
    }

    fn ready_or_wait(self: &Arc<Self>, channels: &[ChannelName]) -> Result<Ready, Waiting> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        if let Some(ready) = state.take_here(channels) {
            return Ok(ready);
        }
        state.join(channels, answer);
        if !state.running && !state.closed {
            state.running = true;
            tokio::spawn(desk::work(Arc::clone(self)));
        }
        drop(state);
        self.changed.notify_one();
        Err(Waiting {
            hub: Arc::clone(self),
            channels: channels.into(),
            answered,
            done: false,
        })
    }

    /// Looks for one message, in a task of its own: a caller that goes away must not take what
    /// is on its way with it.
    async fn look(self: &Arc<Self>, channels: &[ChannelName]) -> Result<Option<Ready>> {
        if let Some(ready) = self.lock().take_here(channels) {
            return Ok(Some(ready));
        }
        if channels.is_empty() {
            return Ok(None);
        }
        let (answer, answered) = oneshot::channel();
        let (hub, channels): (_, Arc<[ChannelName]>) = (Arc::clone(self), channels.into());
        tokio::spawn(async move {
            let wanted = || usize::from(!answer.is_closed());
            let answered = fetch::fetch(&hub.site, &channels, 1, wanted).await;
            let found = answered.map(|mut fetched| fetched.parcels.pop().map(Ready::Parcel));
            if let Err(Ok(Some(ready))) = answer.send(found) {
                hub.hand_out(&channels, [ready]);
            }
        });
        let looking = Looking {
            hub: Arc::clone(self),
            answered,
        };
        looking.ready().await
    }

    /// What is in a message that was taken off the broker; `None` if it cannot be read.
    fn open(&self, ready: Ready) -> Option<(ChannelName, Message)> {
        let parcel = match ready {
            Ready::Opened {
                channel, message, ..
            } => return Some((channel, message)),
            Ready::Parcel(parcel) => parcel,
        };
        let opened = if parcel.is_envelope && parcel.queue.kind() == ChannelKind::ProcessSpecific {
            self.open_envelope(&parcel)
        } else {
            self.read(&parcel).map(Some)
        };
        opened.unwrap_or_else(|error| {
            self.poisoned(&parcel, &error);
            None
        })
    }

    fn read(&self, parcel: &Parcel) -> Result<(ChannelName, Message), AsgiError> {
        let message = self.site.codec.decode(parcel.body.clone())?;
        let channel = match &parcel.local {
            Some(local) if parcel.queue.kind() == ChannelKind::ProcessSpecific => {
                parcel.queue.with_local_part(local)?
            }
            _ => parcel.queue.clone(),
        };
        Ok((channel, message))
    }

    fn open_envelope(&self, parcel: &Parcel) -> Result<Option<(ChannelName, Message)>, AsgiError> {
        let codec = &self.site.codec;
        let body = parcel.body.clone();
        let (message, channels) =
            asgiref::codec::envelope::open(codec, &self.plain, &parcel.queue, body)?;
        let mut channels = channels.into_iter();
        let Some(first) = channels.next() else {
            return Ok(None);
        };
        let rest = channels
            .map(|channel| Ready::Opened {
                channel,
                message: message.clone(),
                expires: parcel.expires,
            })
            .collect();
        self.lock().keep_first(&parcel.queue, rest);
        Ok(Some((first, message)))
    }

    /// A message that cannot be read is skipped: whoever receives can do nothing about it.
    fn poisoned(&self, parcel: &Parcel, error: &AsgiError) {
        self.site.counters.poisoned();
        let mut last = self
            .last_warning
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed().as_secs() < 10) {
            return;
        }
        *last = Some(Clock::now());
        tracing::warn!(
            channel = %parcel.queue,
            bytes = parcel.body.len(),
            error = error as &dyn std::error::Error,
            "skipped a message that cannot be read; further ones are counted for 10 seconds",
        );
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that waits. What it is given and does not take goes back.
struct Waiting {
    hub: Arc<Hub>,
    channels: Box<[ChannelName]>,
    answered: oneshot::Receiver<Result<Ready, Error>>,
    done: bool,
}

impl Waiting {
    async fn ready(mut self) -> Result<Ready> {
        loop {
            match (&mut self.answered).await {
                Ok(answer) => {
                    self.done = true;
                    return answer;
                }
                // The task went with the runtime it was on. Another one is started.
                Err(_) => match self.hub.ready_or_wait(&self.channels) {
                    Ok(ready) => {
                        self.done = true;
                        return Ok(ready);
                    }
                    Err(mut again) => {
                        std::mem::swap(&mut self.answered, &mut again.answered);
                        again.done = true;
                    }
                },
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.answered.close();
        if let Ok(Ok(ready)) = self.answered.try_recv() {
            self.hub.hand_out(&self.channels, [ready]);
        }
        self.hub.changed.notify_one();
    }
}

/// The same for a caller that does not wait longer than it takes to look.
struct Looking {
    hub: Arc<Hub>,
    answered: oneshot::Receiver<Result<Option<Ready>, Error>>,
}

impl Looking {
    async fn ready(mut self) -> Result<Option<Ready>> {
        (&mut self.answered).await.unwrap_or(Ok(None))
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.answered.close();
        if let Ok(Ok(Some(ready))) = self.answered.try_recv() {
            let channels = [];
            self.hub.hand_out(&channels, [ready]);
        }
    }
}
