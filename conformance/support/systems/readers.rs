//! Several processes that read one channel.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use asgiref::{ChannelLayer as _, message};

use super::program::{Program, SiteSettings};
use crate::support::LIMIT;
use crate::support::names::{channel, look};
use crate::support::process::Process;

/// How many messages a killed reader may have had in hand.
const IN_HAND: usize = 100;

/// A process that reads, and the numbers it has received.
struct Reader {
    process: Process,
    numbers: mpsc::Receiver<i64>,
}

impl Reader {
    fn start(settings: &impl SiteSettings, channel: &str) -> Self {
        let (sender, numbers) = mpsc::channel();
        Self {
            process: Self::start_into(settings, channel, sender),
            numbers,
        }
    }

    /// As [`start`](Self::start), with a place for the numbers that several may share.
    fn start_into(settings: &impl SiteSettings, channel: &str, sink: mpsc::Sender<i64>) -> Process {
        let command = Program::reader(settings, channel);
        let (process, _, stdout) = Process::start_with_pipes("a reader", &command);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Around the numbers are the lines of a test program.
                if let Some((_, number)) = line.split_once("number ")
                    && sink.send(number.parse().expect("a number")).is_err()
                {
                    return;
                }
            }
        });
        process
    }

    /// The next number; `None` if it has been killed.
    fn next(&self) -> Option<i64> {
        next(&self.numbers)
    }
}

fn next(numbers: &mpsc::Receiver<i64>) -> Option<i64> {
    match numbers.recv_timeout(LIMIT) {
        Ok(number) => Some(number),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("no number within {LIMIT:?}"),
    }
}

/// What a killed reader had not taken another gets. The layer holds ten thousand messages.
pub async fn check_killed_reader(settings: &impl SiteSettings) {
    const MESSAGES: i64 = 3_000;
    let sender = settings.layer();
    let name = channel("numbers");
    for number in 0..MESSAGES {
        sender
            .send(&name, message! { "number" => number })
            .await
            .expect("there is room");
    }
    let mut seen = BTreeSet::new();
    let mut count = |number| assert!(seen.insert(number), "{number} was delivered twice");

    let mut first = Reader::start(settings, "numbers");
    for _ in 0..500 {
        count(first.next().expect("there are more"));
    }
    first.process.kill();
    while let Some(number) = first.next() {
        count(number);
    }
    let second = Reader::start(settings, "numbers");
    let last = message! { "number" => MESSAGES };
    sender.send(&name, last).await.expect("there is room");
    loop {
        let number = second.next().expect("it is not killed");
        count(number);
        if number == MESSAGES {
            break;
        }
    }
    assert_eq!(look(&sender, "numbers").await, None);
    let lost = usize::try_from(MESSAGES).expect("small") + 1 - seen.len();
    assert!(lost <= IN_HAND, "{lost} are lost");
}

/// Readers share the messages. The layer holds ten thousand.
pub async fn check_shared_reading(settings: &impl SiteSettings) {
    const MESSAGES: i64 = 2_000;
    let sender = settings.layer();
    let name = channel("numbers");
    let (sink, numbers) = mpsc::channel();
    let start = |_| Reader::start_into(settings, "numbers", sink.clone());
    let _readers: Vec<_> = (0..3).map(start).collect();
    for number in 0..MESSAGES {
        sender
            .send(&name, message! { "number" => number })
            .await
            .expect("there is room");
    }
    let mut seen = BTreeSet::new();
    for _ in 0..MESSAGES {
        let number = next(&numbers).expect("the readers live");
        assert!(seen.insert(number), "{number} was delivered twice");
    }
    assert_eq!(look(&sender, "numbers").await, None);
}
