use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use asgiref::{ChannelName, Message};
use rand::Rng as _;
use rand::distr::{Alphabetic, SampleString as _};

use super::address::{self, LocalPart};
use super::mailbox::{Delivery, Mailbox, Room};

/// A power of two, so that a connection's shard is a mask of its number.
const SHARDS: usize = 64;

/// One that receives replies.
pub(crate) trait Addressee {
    fn mailbox(&self) -> &Mailbox;
    fn room(&self) -> Room<'_>;
}

/// The connections of a server by the number in their reply channels.
///
/// A connection is entered once and keeps its number; each of its requests has a name of its own,
/// so nothing is entered or removed for a request.
#[derive(Debug)]
pub(crate) struct ReplyTable<T> {
    /// `daphne.response.<process>!`
    channel: ChannelName,
    shards: Box<[Mutex<Shard<T>>]>,
}

type Shard<T> = HashMap<u64, Arc<T>, BuildHasherDefault<Identity>>;

impl<T: Addressee> ReplyTable<T> {
    pub(crate) fn new() -> Self {
        let mut name = String::from("daphne.response.");
        Alphabetic.append_string(&mut rand::rng(), &mut name, 10);
        name.push('!');
        Self {
            channel: ChannelName::new(name).expect("letters and dots make a valid name"),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// What all replies to this server are received from.
    pub(crate) fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The reply channel of `request` of the connection `connection`.
    pub(crate) fn name(&self, connection: u64, request: u64) -> ChannelName {
        self.channel
            .with_local_part(LocalPart::new(connection, request).as_str())
            .expect("letters, digits, `-` and `_` make a valid local part")
    }

    /// Enters a connection, which `make` makes once it has a number; random, so that nobody can
    /// guess the reply channel of another's connection.
    pub(crate) fn enter(&self, make: impl FnOnce(u64) -> T) -> Arc<T> {
        let mut random = rand::rng();
        loop {
            let number = random.random();
            if let Entry::Vacant(place) = self.shard(number).entry(number) {
                return Arc::clone(place.insert(Arc::new(make(number))));
            }
        }
    }

    pub(crate) fn leave(&self, connection: u64) {
        let left = self.shard(connection).remove(&connection);
        drop(left);
    }

    /// Hands `message` to the connection that `channel` names; its task is to be woken if there
    /// is a waker.
    pub(crate) fn deliver(
        &self,
        channel: &ChannelName,
        message: Message,
    ) -> (Delivery, Option<Waker>) {
        let Some((connection, request)) = channel.local_part().and_then(address::read) else {
            return (Delivery::Stale, None);
        };
        let entry = self.shard(connection).get(&connection).cloned();
        entry.map_or((Delivery::Stale, None), |entry| {
            entry.mailbox().deliver(request, message, entry.room())
        })
    }

    /// Every connection that is entered now.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&T)) {
        for shard in &self.shards {
            let entries: Vec<_> = lock(shard).values().cloned().collect();
            entries.iter().for_each(|entry| visit(entry));
        }
    }

    fn shard(&self, connection: u64) -> MutexGuard<'_, Shard<T>> {
        lock(&self.shards[connection as usize % SHARDS])
    }
}

fn lock<T>(shard: &Mutex<Shard<T>>) -> MutexGuard<'_, Shard<T>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hashes a random number to itself. Nobody outside chooses the keys of the table.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The low bits choose the shard, so the table's own use of them would cluster.
        self.0 = number.rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use asgiref::message;

    use super::super::mailbox::Limits;
    use super::*;

    #[derive(Debug)]
    struct Peer(u64, Mailbox);

    impl Addressee for Peer {
        fn mailbox(&self) -> &Mailbox {
            &self.1
        }

        fn room(&self) -> Room<'_> {
            Room {
                memory: Limits {
                    messages: 10,
                    bytes: 100,
                },
                disk: None,
            }
        }
    }

    fn enter(table: &ReplyTable<Peer>) -> Arc<Peer> {
        table.enter(|number| Peer(number, Mailbox::default()))
    }

    #[test]
    fn a_message_reaches_the_request_its_channel_names() {
        let table = ReplyTable::new();
        let (one, other) = (enter(&table), enter(&table));
        one.1.open(1);
        other.1.open(1);
        let channel = table.name(one.0, 1);
        assert_eq!(channel.non_local(), table.channel().as_str());

        let message = message! { "status" => 200 };
        assert_eq!(
            table.deliver(&channel, message.clone()).0,
            Delivery::Accepted
        );
        let context = Context::from_waker(Waker::noop());
        assert_eq!(one.1.poll_next(&context), Poll::Ready(Ok(message)));
        assert!(other.1.poll_next(&context).is_pending());
    }

    #[test]
    fn messages_for_nobody_are_stale() {
        let table = ReplyTable::new();
        let entry = enter(&table);
        entry.1.open(1);
        let unknown = table.channel().with_local_part("nobody").unwrap();
        let channel = table.name(entry.0, 1);
        table.leave(entry.0);
        for channel in [unknown, channel, table.channel().clone()] {
            assert_eq!(table.deliver(&channel, Message::new()).0, Delivery::Stale);
        }
    }

    #[test]
    fn names_are_short_enough_for_python_peers() {
        let table = ReplyTable::<Peer>::new();
        assert!(table.name(u64::MAX, u64::MAX).as_str().len() < 100);
    }
}
