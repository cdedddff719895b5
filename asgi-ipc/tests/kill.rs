//! Processes are killed at any moment while they use a segment. Nothing may block, come twice or
//! be altered, and only what a killed process held may be lost.
//!
//! Takes 20 seconds; `ASGI_IPC_KILL_SECONDS=120` makes it two minutes.

#[path = "support/child.rs"]
mod child;
mod support;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use asgi_ipc::{IpcChannelLayer, inspect};
use asgiref::{ChannelLayer as _, ChannelLayerExt as _, ChannelName, GroupName, Message, message};
use rand::Rng as _;

use child::Parent;
use support::Segments;

const PREFIX: &str = "kill";
const CHILDREN: usize = 8;
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than any operation may take.
const LIMIT: Duration = Duration::from_secs(1);

fn layer(directory: &std::path::Path) -> IpcChannelLayer {
    let layer = IpcChannelLayer::builder()
        .directory(directory)
        .prefix(PREFIX)
        .message_memory(16 << 20)
        .group_memory(1 << 20)
        .expiry(Duration::from_secs(3600))
        .capacity(300)
        .build();
    layer.expect("the segment can be opened, whatever happened to others")
}

/// The names that are received from.
fn channels() -> Vec<ChannelName> {
    (0..4)
        .flat_map(|i| {
            [
                format!("normal.{i}"),
                format!("single?{i}"),
                format!("process.{i}!"),
            ]
        })
        .map(|name| ChannelName::new(name).expect("valid"))
        .collect()
}

fn target(rng: &mut impl rand::Rng) -> ChannelName {
    let channels = channels();
    let channel = &channels[rng.random_range(0..channels.len())];
    match channel.local_part() {
        Some(_) => {
            // Some are longer than what fits into a record.
            let local = "x".repeat(rng.random_range(0..60));
            channel.with_local_part(&local).expect("valid")
        }
        None => channel.clone(),
    }
}

/// What is in a message of this number.
fn bytes(number: u64, length: usize) -> Vec<u8> {
    let mut state = number | 1;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

fn make(number: u64, to_group: bool, rng: &mut impl rand::Rng) -> Message {
    let length = match rng.random_range(0..100) {
        0 => 100_000,
        1..10 => rng.random_range(0..5000),
        _ => rng.random_range(0..200),
    };
    let content = bytes(number, length);
    message! { "number" => number as i64, "group" => to_group, "content" => content }
}

// ---- The processes that are killed

#[test]
#[ignore = "a process of the test below"]
fn hammer() {
    let (stream, directory) = child::connect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(use_everything(layer(&directory), stream));
}

async fn use_everything(layer: IpcChannelLayer, mut parent: UnixStream) {
    let mut rng = rand::rngs::ThreadRng::default();
    let uid = u64::from(rng.random::<u32>() >> 2);
    let mut next = 0;
    let channels = channels();
    let groups = layer.require_groups().unwrap();
    let group = |rng: &mut rand::rngs::ThreadRng| {
        GroupName::new(format!("group.{}", rng.random_range(0..4))).unwrap()
    };
    loop {
        let start = Instant::now();
        let mut line = String::new();
        match rng.random_range(0..100) {
            0..35 => {
                next += 1;
                let number = uid << 32 | next;
                let message = make(number, false, &mut rng);
                let target = target(&mut rng);
                match layer.send(&target, message).await {
                    Ok(()) => line = format!("sent {number} {target}\n"),
                    Err(error) => assert!(error.is_channel_full(), "{error:?}"),
                }
            }
            35..37 => {
                next += 1;
                let number = uid << 32 | next;
                let message = make(number, true, &mut rng);
                groups.send_group(&group(&mut rng), message).await.unwrap();
            }
            37..43 => {
                let (group, member) = (group(&mut rng), target(&mut rng));
                groups.group_add(&group, &member).await.unwrap();
            }
            43..48 => {
                let (group, member) = (group(&mut rng), target(&mut rng));
                groups.group_discard(&group, &member).await.unwrap();
            }
            48..49 => {
                groups.group_channels(&group(&mut rng)).await.unwrap();
            }
            49..55 => {
                // Alone, as replies are received.
                let own = &channels[3 * rng.random_range(0..4) + 2..][..1];
                if let Some(received) = layer.try_receive(own).await.unwrap() {
                    line = received_line(received);
                }
            }
            55..65 => {
                if let Some(received) = layer.try_receive(&channels).await.unwrap() {
                    line = received_line(received);
                }
            }
            _ => {
                let wait = Duration::from_millis(rng.random_range(1..20));
                let some = rng.random_range(1..=channels.len());
                let receive = layer.receive(&channels[..some]);
                if let Ok(received) = tokio::time::timeout(wait, receive).await {
                    line = received_line(received.unwrap());
                }
            }
        }
        let took = start.elapsed().as_micros();
        line.push_str(&format!("took {took}\n"));
        parent.write_all(line.as_bytes()).expect("the parent reads");
    }
}

fn received_line((channel, message): (ChannelName, Message)) -> String {
    let number = message.int("number").expect("it was sent so") as u64;
    let content = message.bytes("content").expect("it was sent so");
    let whole = bytes(number, content.len()) == content[..];
    let how = match (whole, message.bool("group").expect("it was sent so")) {
        (false, _) => "altered",
        (true, true) => "group",
        (true, false) => "received",
    };
    format!("{how} {number} {channel}\n")
}

// ---- What they report

#[derive(Default)]
struct Tally {
    sent: HashSet<u64>,
    received: HashSet<u64>,
    group: HashMap<(u64, String), u32>,
    operations: u64,
    slowest: Duration,
    faults: Vec<String>,
}

impl Tally {
    fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        let what = words.next().unwrap_or_default();
        let number = words.next().and_then(|word| word.parse().ok());
        let Some(number) = number else {
            // The end of what a killed process has written.
            return;
        };
        let channel = words.next().unwrap_or_default();
        match what {
            "sent" => {
                self.sent.insert(number);
            }
            "received" if !self.received.insert(number) => {
                self.faults.push(format!("{number} came twice"));
            }
            "group" => {
                let count = self.group.entry((number, channel.to_owned())).or_default();
                *count += 1;
                if *count > 1 {
                    self.faults
                        .push(format!("{number} came twice on {channel}"));
                }
            }
            "altered" => self.faults.push(format!("{number} was altered")),
            "took" => {
                self.operations += 1;
                self.slowest = self.slowest.max(Duration::from_micros(number));
            }
            _ => {}
        }
    }
}

/// A child, and the thread that reads what it reports.
struct Hammer {
    process: Child,
    reports: std::thread::JoinHandle<()>,
}

impl Hammer {
    fn start(parent: &Parent, tally: &Arc<Mutex<Tally>>) -> Self {
        let process = parent.spawn("hammer");
        let (stream, _) = parent.listener.accept().expect("the child connects");
        let tally = Arc::clone(tally);
        let reports = std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                // A line without an end was cut off, with its process.
                if let Some(whole) = line.strip_suffix('\n') {
                    tally.lock().unwrap().take(whole);
                }
                line.clear();
            }
        });
        Self { process, reports }
    }

    fn kill(mut self) {
        self.process.kill().expect("the child is ours");
        let status = self.process.wait().expect("the child is ours");
        assert!(
            std::os::unix::process::ExitStatusExt::signal(&status) == Some(9),
            "a child ended by itself: {status}"
        );
        self.reports.join().unwrap();
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "there is no runtime here; a process is killed after a while, whatever it does"
)]
fn processes_killed_at_any_moment_do_no_harm() {
    let seconds = std::env::var("ASGI_IPC_KILL_SECONDS")
        .map_or(20, |text| text.parse().expect("a number of seconds"));
    let segments = Segments::new();
    let watching = layer(segments.path());
    let parent = Parent::new(segments.path());
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut hammers: Vec<_> = (0..CHILDREN)
        .map(|_| Hammer::start(&parent, &tally))
        .collect();
    let mut kills = CHILDREN;
    let mut rng = rand::rng();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut last = 0;
    let mut last_progress = Instant::now();
    while Instant::now() < end {
        std::thread::sleep(PAUSE);
        hammers.swap_remove(rng.random_range(0..CHILDREN)).kill();
        kills += 1;
        hammers.push(Hammer::start(&parent, &tally));
        let operations = tally.lock().unwrap().operations;
        if operations > last {
            (last, last_progress) = (operations, Instant::now());
        }
        assert!(
            last_progress.elapsed() < 5 * LIMIT,
            "nobody has done anything for {:?}",
            last_progress.elapsed()
        );
    }
    hammers.into_iter().for_each(Hammer::kill);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut tally = Arc::try_unwrap(tally)
        .unwrap_or_else(|_| panic!("all that report have ended"))
        .into_inner()
        .unwrap();
    runtime.block_on(async {
        let channels = channels();
        while let Some(received) = watching.try_receive(&channels).await.unwrap() {
            tally.take(received_line(received).trim_end());
        }
        watching.require_flush().unwrap().flush().await.unwrap();
    });
    let found = inspect::inspect(segments.path(), PREFIX).unwrap();
    let lost = tally.sent.difference(&tally.received).count();
    eprintln!(
        "{kills} kills, {} operations, {} messages sent, {} received, {lost} lost with killed \
         processes, {} to groups, {} repairs, slowest operation {:?}",
        tally.operations,
        tally.sent.len(),
        tally.received.len(),
        tally.group.len(),
        found.repairs,
        tally.slowest,
    );
    assert_eq!(tally.faults, Vec::<String>::new());
    assert!(
        lost <= kills,
        "more is lost than killed processes can have held"
    );
    assert!(
        tally.slowest < LIMIT,
        "an operation took {:?}",
        tally.slowest
    );
    assert!(tally.operations > 1000);
    for usage in &found.memory {
        assert_eq!(usage.used, 0, "of {} after a flush", usage.what);
    }
    assert_eq!(found.clients.len(), 1, "the dead are no clients");
}
