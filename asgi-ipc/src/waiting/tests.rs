//! Waiting and waking in many orders of events: layers on one segment, each a process of its own,
//! with whatever watches its pipe. What is done under a lock is one step.

use std::io::Read as _;

use asgiref::{ChannelLayer as _, message};
use shuttle::future::block_on;
use shuttle::rand::Rng as _;
use shuttle::scheduler::RandomScheduler;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, MaxSteps, Runner};

use crate::IpcChannelLayer;
use crate::layout::{MIN_GROUP_MEMORY, MIN_MESSAGE_MEMORY};
use crate::support::Segments;

use super::*;

const SCHEDULES: usize = 400;
/// More than it takes until all have what they wait for: if somebody sleeps on, the test fails.
const STEPS: usize = 10_000;
const WORK: ChannelName = ChannelName::from_static("work");
const OTHER: ChannelName = ChannelName::from_static("other");
static WORK_ALONE: [ChannelName; 1] = [WORK];
static BOTH: [ChannelName; 2] = [WORK, OTHER];
static BOTH_THE_OTHER_WAY: [ChannelName; 2] = [OTHER, WORK];

fn check(test: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(STEPS);
    Runner::new(RandomScheduler::new(SCHEDULES), config).run(test);
}

fn process(segments: &Segments) -> IpcChannelLayer {
    let layer = IpcChannelLayer::builder()
        .directory(segments.path())
        .message_memory(MIN_MESSAGE_MEMORY)
        .group_memory(MIN_GROUP_MEMORY)
        .build();
    layer.expect("a segment")
}

/// What watches the pipe of a process, until this is dropped.
struct Watcher {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    fn of(layer: &IpcChannelLayer) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (seen, shared) = (Arc::clone(&done), Arc::clone(&layer.shared));
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::SeqCst) {
                if shared.store.pipe().read(&mut [0; 64]).is_ok() {
                    // Others may do something after the byte was read.
                    thread::yield_now();
                    shared.dispatch();
                }
                thread::yield_now();
            }
        });
        let thread = Some(thread);
        Self { done, thread }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it watches");
        }
    }
}

/// A call of a process; it returns the number in the message.
fn call(layer: &IpcChannelLayer, channels: &'static [ChannelName]) -> JoinHandle<i64> {
    let shared = Arc::clone(&layer.shared);
    thread::spawn(move || number(block_on(receive(&shared, channels)).expect("the layer works")))
}

fn number((_, message): Received) -> i64 {
    message.int("number").expect("it was sent so")
}

fn send(layer: &IpcChannelLayer, channel: &ChannelName, number: i64) {
    let sent = layer.send(channel, message! { "number" => number });
    block_on(sent).expect("there is room");
    thread::yield_now();
}

#[test]
fn every_call_gets_a_message_if_there_are_as_many() {
    check(|| {
        let segments = Segments::new();
        let (sender, one, two) = (process(&segments), process(&segments), process(&segments));
        let watchers = [Watcher::of(&one), Watcher::of(&two)];
        let calls = [
            call(&one, &WORK_ALONE),
            call(&one, &BOTH),
            call(&two, &BOTH_THE_OTHER_WAY),
            call(&two, &WORK_ALONE),
        ];
        for number in 0..3 {
            send(&sender, &WORK, number);
        }
        // One of the four waits still; the last message may be for any of those who can get it.
        send(&sender, &WORK, 3);
        let mut numbers = calls.map(|call| call.join().expect("it gets a message"));
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3]);
        drop(watchers);
    });
}

#[test]
fn what_a_call_was_woken_for_that_is_given_up_goes_to_another() {
    check(|| {
        let segments = Segments::new();
        let (sender, one, two) = (process(&segments), process(&segments), process(&segments));
        let watchers = [Watcher::of(&one), Watcher::of(&two)];
        let shared = Arc::clone(&one.shared);
        let given_up = thread::spawn(move || {
            let mut waits = Box::pin(receive(&shared, &WORK_ALONE));
            let mut polls = shuttle::rand::thread_rng().gen_range(1..6);
            block_on(poll_fn(|context| {
                if polls == 0 {
                    // It may have been woken since.
                    return Poll::Ready(None);
                }
                polls -= 1;
                context.waker().wake_by_ref();
                let received = std::task::ready!(waits.as_mut().poll(context));
                Poll::Ready(Some(number(received.expect("the layer works"))))
            }))
        });
        let patient = [call(&one, &WORK_ALONE), call(&two, &WORK_ALONE)];
        send(&sender, &WORK, 1);
        send(&sender, &WORK, 2);
        let given_up = given_up.join().expect("it ends");
        if let Some(taken) = given_up {
            assert!(taken == 1 || taken == 2);
            // Then one of the others waits still.
            send(&sender, &WORK, 3);
        }
        for call in patient {
            call.join().expect("it gets a message");
        }
        drop(watchers);
    });
}

#[test]
fn who_takes_without_waiting_leaves_nobody_asleep_beside_a_message() {
    check(|| {
        let segments = Segments::new();
        let (sender, one, two) = (process(&segments), process(&segments), process(&segments));
        let watcher = Watcher::of(&one);
        let waits = call(&one, &WORK_ALONE);
        let shared = Arc::clone(&two.shared);
        let quick = thread::spawn(move || {
            let mut taken = 0;
            for _ in 0..3 {
                let received = shared.try_receive(&WORK_ALONE).expect("the layer works");
                taken += usize::from(received.is_some());
                thread::yield_now();
            }
            taken
        });
        // One more than the other one can take.
        for number in 0..4 {
            send(&sender, &WORK, number);
        }
        waits.join().expect("it gets a message");
        let taken = quick.join().expect("it ends");
        let left = std::iter::from_fn(|| sender.shared.try_receive(&WORK_ALONE).expect("it works"));
        assert_eq!(left.count() + taken + 1, 4);
        drop(watcher);
    });
}

#[test]
fn what_a_process_was_woken_for_that_died_goes_to_another() {
    check(|| {
        let segments = Segments::new();
        let (sender, one) = (process(&segments), process(&segments));
        let watcher = Watcher::of(&one);
        let dying = thread::spawn({
            let victim = process(&segments);
            move || {
                let mut waits = Box::pin(receive(&victim.shared, &WORK_ALONE));
                let polled = block_on(poll_fn(|context| Poll::Ready(waits.as_mut().poll(context))));
                thread::yield_now();
                // From here on it does nothing any more, not even leave.
                victim.shared.store.die();
                polled.is_ready()
            }
        });
        let waits = call(&one, &WORK_ALONE);
        send(&sender, &WORK, 1);
        if dying.join().expect("it dies") {
            send(&sender, &WORK, 2);
        }
        // What the sender does a little later.
        sender.shared.look_after();
        waits.join().expect("it gets a message");
        drop(watcher);
    });
}
