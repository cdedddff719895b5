use std::collections::BTreeSet;

use asgiref::message;
use tokio::time::sleep;

use crate::client::{Client, clients, moment, window};
use crate::harness::Harness;
use crate::traffic::finished;

/// Of many messages, sent below capacity on several channels at once, at least 99.99 % arrive,
/// and none twice ([ASGI: Channel Semantics]).
///
/// [`Harness::DELIVERIES`] says how many are sent.
///
/// [ASGI: Channel Semantics]: https://channels.readthedocs.io/en/1.x/asgi.html#channel-semantics
pub async fn delivery_rate<H: Harness>(h: &H) {
    const LANES: usize = 4;
    let each = H::DELIVERIES.div_ceil(LANES);
    let [a, b, c, d, ra, rb, rc, rd] = clients::<H, { 2 * LANES }>(h).await;
    let lanes = [(a, ra), (b, rb), (c, rc), (d, rd)];
    let mut running = Vec::new();
    for (lane, (writer, reader)) in lanes.into_iter().enumerate() {
        running.push(tokio::spawn(carry(lane, writer, reader, each)));
    }
    let mut lost = 0;
    for lane in running {
        lost += finished(lane, "pair of writer and reader").await;
    }
    let sent = each * LANES;
    let allowed = sent / 10_000;
    assert!(
        lost <= allowed,
        "at least 99.99 % of messages must be delivered: {lost} of {sent} were not"
    );
}

/// Sends `count` messages in batches that fit and receives each batch; returns how many never
/// came.
async fn carry<H: Harness>(
    lane: usize,
    writer: Client<H>,
    reader: Client<H>,
    count: usize,
) -> usize {
    let targets = ["", "?x", "!x"].map(|tail| format!("lane.{lane}{tail}"));
    let channels = ["", "?x", "!"].map(|tail| format!("lane.{lane}{tail}"));
    let channels = channels.each_ref().map(String::as_str);
    let batch = window::<H>().min(20) * targets.len();
    let mut lost = 0;
    let mut next = 0;
    while next < count {
        let numbers = next..count.min(next + batch);
        next = numbers.end;
        let mut missing: BTreeSet<_> = numbers.clone().collect();
        for number in numbers {
            let target = &targets[number % targets.len()];
            writer
                .send(target, message! { "number" => number as i64 })
                .await;
        }
        for last_look in [false, true] {
            for (_, message) in reader.drain(&channels).await {
                let number = message.int("number").expect("an integer was sent") as usize;
                let new = missing.remove(&number);
                assert!(
                    new,
                    "a message must never be delivered twice: number {number} was"
                );
            }
            if missing.is_empty() || last_look {
                break;
            }
            // What is merely late may still come.
            sleep(moment::<H>()).await;
        }
        lost += missing.len();
    }
    lost
}
