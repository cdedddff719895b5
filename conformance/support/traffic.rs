//! A steady stream of numbered messages from one layer to another.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use asgiref::{ChannelLayer, Error, Message, message};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::names::channel;
use super::{until, within, within_limit};

/// How long it may take until traffic flows again once the fault is over.
pub const RECOVERY: Duration = Duration::from_secs(5);

/// How long it may take until a connection on which nothing arrives is given up, and traffic
/// flows over a new one.
pub const DETECTION: Duration = Duration::from_secs(5).saturating_add(RECOVERY);

/// How many messages may be lost each time connections end: those on their way to the reader.
pub const IN_FLIGHT: usize = 20;

const CHANNEL: &str = "traffic";

/// Time between two messages.
const PACE: Duration = Duration::from_millis(2);

/// How long a party rests after an error.
const REST: Duration = Duration::from_millis(5);

/// The traffic while it runs.
#[derive(Debug)]
pub struct Traffic {
    books: Books,
    stop: watch::Sender<bool>,
    sender: JoinHandle<()>,
    receiver: JoinHandle<()>,
}

type Books = Arc<Mutex<Record>>;

/// What each side has seen.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// How many were attempted; the number of the next one.
    next: i64,
    /// What the layer accepted.
    accepted: BTreeSet<i64>,
    /// What it failed to send, as far as it knows.
    failed: BTreeSet<i64>,
    received: Vec<i64>,
    send_errors: Vec<String>,
    receive_errors: Vec<String>,
}

impl Traffic {
    /// Begins to send through `from` and to receive through `to`.
    pub fn start(from: impl ChannelLayer, to: impl ChannelLayer) -> Self {
        let books = Books::default();
        let (stop, stopped) = watch::channel(false);
        let sender = tokio::spawn(send(from, Arc::clone(&books), stopped));
        let receiver = tokio::spawn(receive(to, Arc::clone(&books)));
        Self {
            books,
            stop,
            sender,
            receiver,
        }
    }

    /// Waits until messages arrive that are sent from now on.
    #[track_caller]
    pub fn expect_flowing_within(&self, limit: Duration) -> impl Future<Output = ()> {
        let books = Arc::clone(&self.books);
        let from = self.now().next;
        let flowing = async move {
            let arrived = || {
                let record = look_into(&books);
                record
                    .received
                    .iter()
                    .filter(|number| **number >= from)
                    .count()
            };
            while arrived() < 10 {
                tokio::time::sleep(REST).await;
            }
        };
        within_limit(limit, "traffic to flow", flowing)
    }

    /// Waits until messages arrive that are sent from now on, as they must after a fault.
    #[track_caller]
    pub fn expect_flowing(&self) -> impl Future<Output = ()> {
        self.expect_flowing_within(RECOVERY)
    }

    /// Waits until a send fails that has not yet begun.
    #[track_caller]
    pub fn expect_failing(&self) -> impl Future<Output = ()> {
        let books = Arc::clone(&self.books);
        let before = self.now().failed.len();
        until("a send to fail", move || {
            look_into(&books).failed.len() > before
        })
    }

    /// What each side has seen until now.
    pub fn now(&self) -> Record {
        look_into(&self.books).clone()
    }

    /// Stops sending, waits until everything that will arrive has arrived, and returns what each
    /// side has seen.
    #[track_caller]
    pub fn finish(self) -> impl Future<Output = Record> {
        within("the traffic to end", async move {
            self.stop.send_replace(true);
            self.sender.await.expect("the sender does not panic");
            self.receiver.await.expect("the receiver does not panic");
            let record = look_into(&self.books).clone();
            record.check();
            record
        })
    }
}

impl Record {
    /// What was accepted and did not arrive.
    pub fn lost(&self) -> usize {
        let received: BTreeSet<_> = self.received.iter().copied().collect();
        self.accepted.difference(&received).count()
    }

    #[track_caller]
    pub fn expect_lost_at_most(&self, limit: usize) {
        let lost = self.lost();
        assert!(
            lost <= limit,
            "{lost} of {} are lost; errors of the sender {:?}, of the receiver {:?}",
            self.accepted.len(),
            self.send_errors,
            self.receive_errors
        );
    }

    #[track_caller]
    pub fn expect_no_errors(&self) {
        assert_eq!(self.send_errors, Vec::<String>::new());
        assert_eq!(self.receive_errors, Vec::<String>::new());
    }

    pub fn send_errors(&self) -> &[String] {
        &self.send_errors
    }

    fn fail(&mut self, number: i64, error: &Error) {
        self.failed.insert(number);
        self.send_errors.push(explain(error));
    }

    /// Nothing arrived twice, and nothing that was not sent.
    #[track_caller]
    fn check(&self) {
        let mut seen = BTreeSet::new();
        for number in &self.received {
            assert!(seen.insert(number), "{number} arrived twice");
            let was_sent = self.accepted.contains(number) || self.failed.contains(number);
            assert!(was_sent, "{number} was never sent");
        }
        assert!(!self.received.is_empty(), "nothing arrived at all");
    }
}

fn look_into(books: &Books) -> MutexGuard<'_, Record> {
    books.lock().expect("nobody panics while holding it")
}

async fn send(layer: impl ChannelLayer, books: Books, stopped: watch::Receiver<bool>) {
    let name = channel(CHANNEL);
    while !*stopped.borrow() {
        let number = {
            let mut record = look_into(&books);
            record.next += 1;
            record.next - 1
        };
        let sent = layer.send(&name, message! { "number" => number }).await;
        match sent {
            Ok(()) => {
                look_into(&books).accepted.insert(number);
                tokio::time::sleep(PACE).await;
            }
            Err(Error::ChannelFull { .. }) => tokio::time::sleep(REST).await,
            Err(error) => {
                look_into(&books).fail(number, &error);
                tokio::time::sleep(REST).await;
            }
        }
    }
    while layer.send(&name, end()).await.is_err() {
        tokio::time::sleep(REST).await;
    }
}

/// The last message.
fn end() -> Message {
    message! { "end" => true }
}

async fn receive(layer: impl ChannelLayer, books: Books) {
    let names = [channel(CHANNEL)];
    loop {
        match layer.receive(&names).await {
            Ok((_, message)) if message == end() => break,
            Ok((_, message)) => {
                let number = message.int("number").expect("a number");
                look_into(&books).received.push(number);
            }
            Err(error) => {
                look_into(&books).receive_errors.push(explain(&error));
                tokio::time::sleep(REST).await;
            }
        }
    }
    // Whatever were to arrive twice would be there by now.
    while let Ok(Some((_, message))) = layer.try_receive(&names).await {
        if let Ok(number) = message.int("number") {
            look_into(&books).received.push(number);
        }
    }
}

/// An error with its causes.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
