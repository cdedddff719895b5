//! Calls of `receive` that wait, and how they are woken.
//!
//! A call that finds nothing says in the segment that this client waits for the channels, and goes
//! to sleep as any task does. A sender that finds a client waiting writes a byte into the client's
//! pipe, which tokio watches together with all sockets; a task on each runtime with waiting calls
//! reads it and wakes the call concerned. Nothing is polled, no thread is blocked, and a sleeping
//! process is woken by one switch.
//!
//! Between two releases of the segment's lock this holds for each channel: if calls wait for it
//! that are not woken, the client's bit is set there, or the client has news that are not taken.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use tokio::net::unix::pipe;
use tokio::runtime::{Handle, Id};
use tokio::task::AbortHandle;

use asgiref::ChannelName;

use crate::error::Error;
use crate::segment::Checked;
use crate::shared::{Received, Shared};
use crate::store::{Locked, News};

/// All calls that wait.
#[derive(Default)]
pub(crate) struct Waiting {
    queues: Mutex<Queues>,
    /// The runtimes on which a task watches the pipe.
    watches: Mutex<Vec<(Id, AbortHandle)>>,
}

#[derive(Default)]
pub(crate) struct Queues {
    /// By channel, in the order in which they came.
    calls: HashMap<String, BTreeMap<u64, Arc<Call>>>,
    next_ticket: u64,
}

/// A call that waits, for one channel or several.
struct Call {
    state: Mutex<State>,
}

enum State {
    Waiting(Waker),
    /// Woken for a message on this channel.
    Woken(String),
}

/// The places of one call. Dropping it leaves them all.
pub(crate) struct Registration<'a> {
    shared: &'a Arc<Shared>,
    channels: &'a [ChannelName],
    /// Zero while the call has no places.
    ticket: u64,
    call: Arc<Call>,
}

impl Waiting {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Queues> {
        lock(&self.queues)
    }

    /// Makes sure that a task of the current runtime watches the pipe.
    pub(crate) fn watch(&self, shared: &Arc<Shared>) -> Result<(), Error> {
        let runtime = Handle::current();
        let id = runtime.id();
        let mut watches = lock(&self.watches);
        if watches.iter().any(|(watched, _)| *watched == id) {
            return Ok(());
        }
        let failed = |error| Error::io("watch the pipe of", shared.path(), error);
        let pipe = shared.store.pipe().try_clone().map_err(failed)?;
        let pipe = pipe::Receiver::from_file(pipe).map_err(failed)?;
        let shared = Arc::downgrade(shared);
        let task = runtime.spawn(watch(pipe, Watch { shared, id }));
        watches.push((id, task.abort_handle()));
        Ok(())
    }

    /// Ends the tasks that watch the pipe, because the layer ends.
    pub(crate) fn close(&self) {
        for (_, task) in lock(&self.watches).drain(..) {
            task.abort();
        }
    }
}

/// Takes its runtime out of the list when the task ends, which is when the runtime does.
struct Watch {
    shared: Weak<Shared>,
    id: Id,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared.waiting.watches).retain(|(id, _)| *id != self.id);
        }
    }
}

/// Waits for a message from any of `channels`. A task must watch the pipe.
pub(crate) async fn receive(
    shared: &Arc<Shared>,
    channels: &[ChannelName],
) -> Result<Received, Error> {
    loop {
        let mut registration = Registration::new(shared, channels).await;
        if let Some(received) = shared.receive_or_join(&mut registration)? {
            return Ok(received);
        }
        registration.woken().await;
        if let Some(received) = shared.receive_woken(&mut registration)? {
            return Ok(received);
        }
    }
}

/// Wakes calls when others say that there is something. It reads from the pipe only while it holds
/// the layer: another client may have the pipe's place as soon as the layer is gone.
async fn watch(pipe: pipe::Receiver, watch: Watch) {
    // An error means that the runtime is ending.
    while let Ok(()) = pipe.readable().await {
        let Some(shared) = watch.shared.upgrade() else {
            return;
        };
        let mut any = false;
        // Until it is empty, or else it would not be said to be readable again.
        while let Ok(1..) = pipe.try_read(&mut [0; 64]) {
            any = true;
        }
        if any {
            shared.dispatch();
        }
    }
}

impl<'a> Registration<'a> {
    pub(crate) async fn new(shared: &'a Arc<Shared>, channels: &'a [ChannelName]) -> Self {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        Self {
            shared,
            channels,
            ticket: 0,
            call: Arc::new(Call {
                state: Mutex::new(State::Waiting(waker)),
            }),
        }
    }

    /// Takes a place in the line of each channel.
    pub(crate) fn join(&mut self, queues: &mut Queues) {
        queues.next_ticket += 1;
        self.ticket = queues.next_ticket;
        for channel in self.channels {
            let name = channel.non_local();
            if !queues.calls.contains_key(name) {
                queues.calls.insert(name.to_owned(), BTreeMap::new());
            }
            if let Some(line) = queues.calls.get_mut(name) {
                line.insert(self.ticket, Arc::clone(&self.call));
            }
        }
    }

    /// Leaves all lines; the channel the call was woken for, if it was.
    pub(crate) fn leave(&mut self, queues: &mut Queues) -> Option<String> {
        for channel in self.channels {
            let name = channel.non_local();
            if let Some(line) = queues.calls.get_mut(name) {
                line.remove(&self.ticket);
                if line.is_empty() {
                    queues.calls.remove(name);
                }
            }
        }
        self.ticket = 0;
        match &*lock(&self.call.state) {
            State::Woken(channel) => Some(channel.clone()),
            State::Waiting(_) => None,
        }
    }

    pub(crate) const fn channels(&self) -> &'a [ChannelName] {
        self.channels
    }

    /// Waits until the call is woken.
    pub(crate) async fn woken(&self) {
        poll_fn(|context| match &mut *lock(&self.call.state) {
            State::Waiting(waker) => {
                waker.clone_from(context.waker());
                Poll::Pending
            }
            State::Woken(_) => Poll::Ready(()),
        })
        .await;
    }
}

impl Drop for Registration<'_> {
    /// A call that was woken and is dropped passes the news on: otherwise the message would lie
    /// there although others wait for it.
    fn drop(&mut self) {
        if self.ticket != 0 {
            self.shared.give_up(self);
        }
    }
}

impl Queues {
    /// Whether a call waits for this channel.
    pub(crate) fn waits_for(&self, channel: &str) -> bool {
        self.calls.contains_key(channel)
    }

    /// Wakes calls for what the client has news of.
    pub(crate) fn take_news(
        &mut self,
        locked: &Locked<'_>,
        wakers: &mut Vec<Waker>,
    ) -> Checked<()> {
        let mut channels = match locked.take_news()? {
            News::Of(channels) => channels,
            News::All => Vec::new(),
        };
        // A record that was told of may be that of another channel by now.
        if !channels.iter().all(|name| self.waits_for(name)) || channels.is_empty() {
            channels.extend(self.calls.keys().cloned());
        }
        channels
            .iter()
            .try_for_each(|channel| self.wake(channel, locked, wakers))
    }

    /// Wakes as many calls that wait for the channel as there are messages in it.
    fn wake(&mut self, name: &str, locked: &Locked<'_>, wakers: &mut Vec<Waker>) -> Checked<()> {
        let Some(channel) = locked.find_channel(name)? else {
            // Made anew, so that the bit can be set.
            if self.waits_for(name)
                && let Some(channel) = locked.channel(name)?
            {
                locked.set_waiting(channel, true)?;
            }
            return Ok(());
        };
        let mut messages = locked.pending(channel)?;
        if let Some(line) = self.calls.get_mut(name) {
            while messages > 0
                && let Some((_, call)) = line.pop_first()
            {
                let mut state = lock(&call.state);
                if let State::Waiting(waker) = &*state {
                    wakers.push(waker.clone());
                    *state = State::Woken(name.to_owned());
                    messages -= 1;
                }
            }
            if line.is_empty() {
                self.calls.remove(name);
            }
        }
        locked.set_waiting(channel, self.waits_for(name))?;
        if messages > 0 {
            locked.pass_on(channel)?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
