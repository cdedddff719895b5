//! Who may listen.

use std::iter::once;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use asgiref::{ChannelLayer, ChannelName, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::worker::seat::Seat;

/// The rights to listen, one for each receiver that may do so at the same time, and where those
/// who have them sit. A receiver whose consumer has to wait leaves its seat to another.
pub(super) struct Turns {
    seats: Box<[Seat]>,
    vacant: Mutex<Vec<usize>>,
    permits: Arc<Semaphore>,
}

/// The right to listen, until it is dropped.
pub(super) struct Turn {
    turns: Arc<Turns>,
    number: usize,
    /// Goes last, when the seat is vacant.
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(count: usize) -> Self {
        Self {
            seats: (0..count).map(|_| Seat::default()).collect(),
            vacant: Mutex::new((0..count).rev().collect()),
            permits: Arc::new(Semaphore::new(count)),
        }
    }

    /// Waits for a turn; there is none any more once they are closed.
    pub(super) async fn next(self: &Arc<Self>) -> Option<Turn> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let number = self.vacant().pop()?;
        Some(Turn {
            turns: Arc::clone(self),
            number,
            _permit: permit,
        })
    }

    /// How many turns nobody has.
    pub(super) fn available(&self) -> usize {
        self.permits.available_permits()
    }

    /// Gives out no more turns.
    pub(super) fn close(&self) {
        self.permits.close();
    }

    /// The seat for messages that are sent on this thread.
    pub(super) fn nearest(&self) -> &Seat {
        let thread = tokio::runtime::worker_index().unwrap_or(0);
        &self.seats[thread % self.seats.len()]
    }

    /// What lies at the seats when all receivers have gone.
    pub(super) fn clear(&self) -> Vec<(ChannelName, Message)> {
        self.seats.iter().flat_map(Seat::clear).collect()
    }

    /// Sends on what lies at seats without a receiver, to be received by anybody, as far as there
    /// is room for it.
    pub(super) async fn give_up_vacant(&self, layer: &dyn ChannelLayer) {
        let vacant = self.vacant().clone();
        for seat in vacant.into_iter().map(|number| &self.seats[number]) {
            let mut left = seat.clear().into_iter();
            while let Some((channel, message)) = left.next() {
                if layer.send(&channel, message.clone()).await.is_err() {
                    seat.restore(once((channel, message)).chain(left));
                    break;
                }
            }
        }
    }

    fn vacant(&self) -> MutexGuard<'_, Vec<usize>> {
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    pub(super) fn seat(&self) -> &Seat {
        &self.turns.seats[self.number]
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.seat().close();
        self.turns.vacant().push(self.number);
    }
}
