//! The in-memory layer: what the conformance suite, which knows layers only from outside and in
//! general, cannot check.

mod attach;
mod blocking;
mod capacity;
mod dropped;
mod expiry;
mod flush;
mod groups;
mod memory;
mod statistics;
mod stress;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use asgiref::{
    ChannelLayer, ChannelName, GroupName, InMemoryChannelLayer, LayerConfig, Message, Result,
    message,
};

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn number(number: i64) -> Message {
    message! { "number" => number }
}

fn capacity(capacity: usize) -> InMemoryChannelLayer {
    InMemoryChannelLayer::with_config(LayerConfig::new().capacity(capacity))
}

/// What lies in `channels` now, as the numbers of the messages.
async fn drain(layer: &impl ChannelLayer, channels: &[ChannelName]) -> Vec<i64> {
    let mut numbers = Vec::new();
    while let Some((_, message)) = layer.try_receive(channels).await.unwrap() {
        numbers.push(message.int("number").unwrap());
    }
    numbers
}

/// Polls a call until it got a message, of which this is the number, or waits for one.
fn poll<F>(call: &mut Pin<&mut F>) -> Option<i64>
where
    F: Future<Output = Result<(ChannelName, Message)>> + ?Sized,
{
    poll_with(call, Waker::noop())
}

/// The same with a waker of one's own.
fn poll_with<F>(call: &mut Pin<&mut F>, waker: &Waker) -> Option<i64>
where
    F: Future<Output = Result<(ChannelName, Message)>> + ?Sized,
{
    let mut poll = |waker| match call.as_mut().poll(&mut Context::from_waker(waker)) {
        Poll::Ready(received) => Some(received.unwrap().1.int("number").unwrap()),
        Poll::Pending => None,
    };
    // A call that finds nothing lets other tasks run before it waits.
    poll(Waker::noop()).or_else(|| poll(waker))
}

/// The result of a call that never waits.
fn now<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the call waits"),
    }
}

/// Waits until another thread has come to `value`. Gives up when that thread must have failed, so
/// that a failure ends the test instead of hanging it.
fn wait_for(counter: &AtomicUsize, value: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while counter.load(Ordering::Acquire) < value {
        assert!(Instant::now() < deadline, "the other thread is gone");
        std::thread::yield_now();
    }
}
