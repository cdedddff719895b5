//! Mishaps at a certain instruction, each made by hand.

use std::sync::mpsc;
use std::time::Duration;

use asgiref::{ChannelLayer as _, ChannelName, Message, Result, message};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::queue::{self, Queue as _};
use super::tests::open;
use super::{Outgoing, Quick, Refused, Store, Taken};
use crate::IpcChannelLayer;
use crate::file;
use crate::layout::{MIN_GROUP_MEMORY, MIN_MESSAGE_MEMORY};
use crate::segment::Segment;
use crate::support::Segments;

const CHANNEL: ChannelName = ChannelName::from_static("work");

/// How long anything may take that is to happen.
const LIMIT: Duration = Duration::from_secs(20);

fn say(store: &Store, message: &[u8]) -> std::result::Result<(), Refused> {
    let outgoing = Outgoing {
        name: "work",
        local: "",
        message,
        capacity: 100_000,
        expiry: Duration::from_secs(3600),
    };
    store.send(&outgoing).unwrap().0
}

fn pop(store: &Store) -> bool {
    let read = |taken: Option<Taken>, segment: &Segment| {
        taken.map(|taken| taken.read(segment)).transpose()
    };
    let (popped, _) = store.receive(|locked| locked.pop("work"), read).unwrap();
    popped.is_some()
}

fn process(segments: &Segments) -> IpcChannelLayer {
    IpcChannelLayer::builder()
        .directory(segments.path())
        .message_memory(MIN_MESSAGE_MEMORY)
        .group_memory(MIN_GROUP_MEMORY)
        .build()
        .unwrap()
}

/// A call that waits for a message.
async fn sleeper(segments: &Segments) -> JoinHandle<Result<(ChannelName, Message)>> {
    let layer = process(segments);
    let waiting = layer.clone();
    let call = tokio::spawn(async move { waiting.receive(&[CHANNEL]).await });
    let waits = async {
        while !is_waited_for(&layer) {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, waits).await.expect("it waits");
    call
}

fn is_waited_for(layer: &IpcChannelLayer) -> bool {
    let waited = layer
        .shared
        .run(|locked| match locked.find_channel("work")? {
            Some(channel) => locked.is_waited_for(channel),
            None => Ok(false),
        });
    waited.unwrap()
}

#[tokio::test]
async fn who_was_to_be_woken_by_a_process_that_died_is_woken_by_the_next() {
    let segments = Segments::new();
    let (dies, other) = (process(&segments), process(&segments));
    let call = sleeper(&segments).await;
    let bytes = dies.shared.codec.encode(&message! { "n" => 1 }).unwrap();
    let outgoing = Outgoing {
        name: "work",
        local: "",
        message: &bytes,
        capacity: 100,
        expiry: Duration::from_secs(3600),
    };
    let sent = dies.shared.store.run(|locked| {
        locked.send(&outgoing, None)?.unwrap();
        // It is killed when it has released the lock.
        locked.to_wake.set(Default::default());
        Ok(())
    });
    sent.unwrap();
    dies.shared.store.die();
    drop(dies);
    let sending = async {
        while !call.is_finished() {
            // Nobody is woken twice within a moment.
            let _ = other.send(&CHANNEL, message! { "n" => 2 }).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, sending).await.expect("it is woken");
    let (_, received) = call.await.unwrap().unwrap();
    assert_eq!(received, message! { "n" => 1 });
}

#[tokio::test]
async fn what_a_process_was_woken_for_while_the_lock_was_held_up_is_received_later() {
    let segments = Segments::new();
    let (sender, holder) = (process(&segments), process(&segments));
    let mut call = sleeper(&segments).await;
    sender.send(&CHANNEL, message! { "n" => 1 }).await.unwrap();
    // This thread does not let the call run before the lock is held.
    let (has_it, hears) = mpsc::channel();
    let (go_on, told) = mpsc::channel();
    let stopped = std::thread::spawn(move || {
        let held = holder.shared.run_once(|_| {
            has_it.send(()).unwrap();
            told.recv().unwrap();
            Ok(())
        });
        held.unwrap();
    });
    hears.recv_timeout(LIMIT).unwrap();
    // Longer than anybody waits for the lock.
    let early = timeout(super::LIMIT + Duration::from_secs(1), &mut call).await;
    assert!(early.is_err(), "{early:?}");
    go_on.send(()).unwrap();
    let received = timeout(LIMIT, call).await.expect("it is received");
    assert_eq!(received.unwrap().unwrap().1, message! { "n" => 1 });
    stopped.join().unwrap();
}

#[test]
fn the_living_are_not_taken_for_dead_when_somebody_removed_their_pipes() {
    let segments = Segments::new();
    let (one, two) = (open(segments.path()), open(segments.path()));
    two.run(|locked| locked.fill_hand()).unwrap();
    file::remove(&file::path(segments.path(), "model")).unwrap();
    one.run(|locked| locked.bury_the_dead()).unwrap();
    let clients = one.run(|locked| Ok(locked.clients()?.len()));
    assert_eq!(clients.unwrap().0, 2);
}

#[test]
fn a_queue_that_somebody_closed_is_repaired() {
    let segments = Segments::new();
    let store = open(segments.path());
    for number in 0..3 {
        say(&store, &[number]).unwrap();
    }
    let closing = store.run(|locked| {
        let channel = locked.find_channel("work")?.unwrap();
        queue::close(&locked.store.queue(channel)).map(drop)
    });
    closing.unwrap();
    assert!(matches!(store.take_quickly("work"), Quick::Unsure));
    for _ in 0..3 {
        assert!(pop(&store));
    }
    assert!(!pop(&store));
}

#[test]
fn what_receivers_have_at_hand_leaves_room_for_long_messages() {
    let segments = Segments::new();
    let sender = open(segments.path());
    let receivers: Vec<_> = (0..10).map(|_| open(segments.path())).collect();
    for receiver in &receivers {
        for _ in 0..70 {
            say(&sender, b"x").unwrap();
        }
        while let Quick::Message(_) = receiver.take_quickly("work") {}
        while pop(&sender) {}
    }
    let longest = vec![1; sender.layout().longest_message()];
    assert_eq!(say(&sender, &longest), Ok(()));
    let front = sender.run(|locked| {
        let channel = locked.find_channel("work")?.unwrap();
        locked.store.queue(channel).front()
    });
    assert!(!front.unwrap().0.is_empty());
}
