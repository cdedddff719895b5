use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use asgiref::message;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::client::{Client, bounded, clients, moment, name, window};
use crate::harness::Harness;
use crate::traffic::finished;

/// A `receive` that was dropped while it waited is gone: messages sent later are there for others
/// (the contract of [`ChannelLayer`](asgiref::ChannelLayer), *Cancel safety*).
pub async fn cancelled_receive_takes_no_later_message<H: Harness>(h: &H) {
    let [impatient, writer, reader] = clients(h).await;
    for (channel, target) in [
        ("cancel", "cancel"),
        ("cancel?x", "cancel?x"),
        ("cancel!", "cancel!x"),
    ] {
        for patience in [0, 1, 2, 5].map(Duration::from_millis) {
            start_and_drop(&impatient, channel, patience).await;
        }
        start_and_drop(&impatient, channel, moment::<H>()).await;
        let message = message! { "value" => "later" };
        writer.send(target, message.clone()).await;
        // Time for a forgotten wait to take what is not its own.
        sleep(moment::<H>()).await;
        // It may be on its way back from there.
        let (from, received) = reader.receive(&[channel]).await;
        let rule = "a receive that was dropped must not take messages sent later";
        assert_eq!((from.as_str(), received), (target, message), "{rule}");
    }
}

/// Of two receives that wait, one is dropped just when a message arrives: the other gets it, even
/// if the message had been meant for the first.
///
/// A layer that says [`CANCEL_MAY_LOSE_ONE`](Harness::CANCEL_MAY_LOSE_ONE) may lose that message;
/// the next one must come.
pub async fn cancelled_receive_passes_its_message_on<H: Harness>(h: &H) {
    for drop_first in [true, false] {
        let [one, two, writer]: [Client<H>; 3] = clients(h).await;
        let names = [name("pass.on"), name("pass.on!")];
        let mut first = Box::pin(one.layer().receive(&names));
        let mut second = Box::pin(two.layer().receive(&names));
        for waiting in [&mut first, &mut second] {
            // Polls it, so that the layer knows that it waits.
            let ended = timeout(moment::<H>(), waiting).await;
            assert!(
                ended.is_err(),
                "receive must wait on empty channels, not end with {ended:?}"
            );
        }
        writer.send("pass.on!x", message! { "i" => 0 }).await;
        sleep(moment::<H>()).await;
        let (dropped, stays) = if drop_first {
            (first, second)
        } else {
            (second, first)
        };
        drop(dropped);
        if H::CANCEL_MAY_LOSE_ONE {
            writer.send("pass.on!x", message! { "i" => 1 }).await;
        }
        let step = "a receive that waits while another one is dropped, for the message";
        let received = bounded::<H, _>(step, stays).await;
        let (channel, _) = received.expect("receive must succeed when another one is dropped");
        assert_eq!(channel, "pass.on!x", "the message sent comes");
    }
}

/// Readers that give up all the time lose nothing: every message is received once in the end.
///
/// A layer that says [`CANCEL_MAY_LOSE_ONE`](Harness::CANCEL_MAY_LOSE_ONE) may lose one for each
/// time a reader gave up.
pub async fn cancelled_receives_under_load<H: Harness>(h: &H) {
    const BATCHES: i64 = 10;
    let [writer, one, two, three] = clients(h).await;
    let per_batch = window::<H>().min(30) as i64;
    let mut missing: BTreeSet<_> = (0..BATCHES * per_batch).collect();
    let mut given_up = 0;
    for batch in 0..BATCHES {
        let stop = Arc::new(AtomicBool::new(false));
        let readers = [one.clone(), two.clone(), three.clone()]
            .map(|client| tokio::spawn(read_impatiently(client, Arc::clone(&stop))));
        for i in 0..per_batch {
            let number = batch * per_batch + i;
            let target = if i % 2 == 0 { "give.up" } else { "give.up!x" };
            writer.send(target, message! { "number" => number }).await;
            if i % 3 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        stop.store(true, Ordering::Relaxed);
        let mut received = Vec::new();
        for reader in readers {
            let (numbers, times) = finished(reader, "reader that gives up").await;
            received.extend(numbers);
            given_up += times;
        }
        // What was on its way to them is on its way back.
        for client in [&one, &two, &three] {
            bounded::<H, _>("settle", client.layer().settle()).await;
        }
        for (_, message) in writer.drain(&["give.up", "give.up!"]).await {
            received.push(message.int("number").expect("an integer was sent"));
        }
        for number in received {
            let new = missing.remove(&number);
            assert!(
                new,
                "a message must never be delivered twice: message {number} was"
            );
        }
    }
    let allowed = if H::CANCEL_MAY_LOSE_ONE { given_up } else { 0 };
    let lost = missing.len();
    assert!(
        lost <= allowed,
        "dropping a receive must not lose messages: {lost} lost in {given_up} dropped receives"
    );
}

async fn start_and_drop<H: Harness>(client: &Client<H>, channel: &str, patience: Duration) {
    let names = [name(channel)];
    if let Ok(ended) = timeout(patience, client.layer().receive(&names)).await {
        panic!("receive must wait on an empty channel, not end with {ended:?}");
    }
}

/// Receives with a patience of 0 to 3 milliseconds, over and over; returns what came and how
/// often it gave up.
async fn read_impatiently<H: Harness>(
    client: Client<H>,
    stop: Arc<AtomicBool>,
) -> (Vec<i64>, usize) {
    let names = [name("give.up"), name("give.up!")];
    let mut received = Vec::new();
    let mut given_up = 0;
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let patience = Duration::from_millis(round % 4);
        match timeout(patience, client.layer().receive(&names)).await {
            Ok(next) => {
                let (_, message) = next.expect("receive must succeed when others are dropped");
                received.push(message.int("number").expect("an integer was sent"));
            }
            Err(_) => given_up += 1,
        }
        yield_now().await;
    }
    (received, given_up)
}
