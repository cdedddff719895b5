//! Several writers and readers at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use asgiref::message;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::{Client, name, window};
use crate::harness::Harness;

/// Who writes where: the full name of a channel.
pub(crate) struct Writer<H> {
    pub(crate) client: Client<H>,
    pub(crate) target: String,
}

/// What one reader got, in order: which writer sent it, and the number the writer gave it.
pub(crate) type Received = Vec<(usize, i64)>;

/// Has every writer send `count` numbered messages, never more on the way than the capacity
/// allows, while every reader receives from `channel`.
///
/// Ends by itself even if messages get lost: what is missing is for the caller to see.
pub(crate) async fn run<H: Harness>(
    writers: Vec<Writer<H>>,
    readers: Vec<Client<H>>,
    channel: &'static str,
    count: i64,
) -> Vec<Received> {
    let room = Arc::new(Semaphore::new(window::<H>()));
    let stopper = writers[0].client.clone();
    let stop_target = writers[0].target.clone();
    let reader_count = readers.len();
    let reading: Vec<_> = readers
        .into_iter()
        .map(|client| tokio::spawn(read(client, channel, Arc::clone(&room))))
        .collect();
    let writing: Vec<_> = writers
        .into_iter()
        .enumerate()
        .map(|(who, writer)| tokio::spawn(write(who, writer, count, Arc::clone(&room))))
        .collect();
    for writer in writing {
        finished(writer, "writer").await;
    }
    // Everything was received when all the room is free; then the readers are told to stop. On
    // an untidy layer that never happens, and they stop when nothing comes any more.
    let all = u32::try_from(window::<H>()).unwrap_or(u32::MAX);
    let _ = timeout(H::STEP_LIMIT, room.acquire_many(all)).await;
    for _ in 0..reader_count {
        stopper
            .send(&stop_target, message! { "stop" => true })
            .await;
    }
    let mut received = Vec::new();
    for reader in reading {
        received.push(finished(reader, "reader").await);
    }
    received
}

async fn write<H: Harness>(who: usize, writer: Writer<H>, count: i64, room: Arc<Semaphore>) {
    for number in 0..count {
        let Ok(Ok(place)) = timeout(H::STEP_LIMIT, room.acquire()).await else {
            return;
        };
        place.forget();
        let message = message! { "who" => who as i64, "number" => number };
        writer.client.send(&writer.target, message).await;
    }
}

async fn read<H: Harness>(client: Client<H>, channel: &str, room: Arc<Semaphore>) -> Received {
    let mut received = Vec::new();
    let names = [name(channel)];
    while let Ok(next) = timeout(H::STEP_LIMIT, client.layer().receive(&names)).await {
        let (_, message) = next.expect("receive must succeed while others receive too");
        if message.contains_key("stop") {
            break;
        }
        let who = message.int("who").expect("the writer gave its number");
        let number = message
            .int("number")
            .expect("the writer numbered its messages");
        received.push((who as usize, number));
        room.add_permits(1);
    }
    received
}

/// What the task returned; panics as the task did.
pub(crate) async fn finished<T>(task: JoinHandle<T>, whose: &str) -> T {
    task.await
        .unwrap_or_else(|error| panic!("a {whose} failed: {error}"))
}

/// Expects every message of every writer once, whoever received it.
pub(crate) fn expect_all_once(received: &[Received], writers: usize, count: i64) {
    let mut missing: BTreeSet<_> = (0..writers)
        .flat_map(|who| (0..count).map(move |number| (who, number)))
        .collect();
    let sent = missing.len();
    for (who, number) in received.iter().flatten() {
        assert!(
            missing.remove(&(*who, *number)),
            "a message must never be delivered twice: message {number} of writer {who} was"
        );
    }
    let lost = missing.len();
    assert!(
        missing.is_empty(),
        "below capacity no message may get lost: {lost} of {sent} did, the first {:?} (writer, \
         number)",
        missing.first()
    );
}

/// Expects the messages of each writer in the order it sent them.
pub(crate) fn expect_order_of_each_writer(received: &Received, writers: usize) {
    for writer in 0..writers {
        let numbers = received
            .iter()
            .filter(|(who, _)| *who == writer)
            .map(|(_, number)| number);
        assert!(
            numbers.is_sorted(),
            "a single reader must get the messages of each writer in the order they were sent; \
             those of writer {writer} came in another"
        );
    }
}
