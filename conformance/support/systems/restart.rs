//! New code ships while browsers stay connected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use super::client::{Http, Socket};
use super::program::{Program, SiteSettings};
use crate::support::{until, within};

/// Five thousand requests a minute.
const PACE: Duration = Duration::from_millis(12);

/// How many sockets open at the same time.
const OPENING: usize = 50;

/// How many requests a worker may have been at when it was killed. It does not take more than
/// it can run.
const IN_FLIGHT: usize = 20;

/// Requests at a steady pace, each answered sooner or later.
#[derive(Debug, Default)]
struct Requests {
    begun: AtomicUsize,
    answered: AtomicUsize,
    refused: AtomicUsize,
    stopped: AtomicBool,
}

impl Requests {
    fn start(port: u16) -> Arc<Self> {
        let requests = Arc::new(Self::default());
        tokio::spawn(Arc::clone(&requests).run(Http::new(port)));
        requests
    }

    async fn run(self: Arc<Self>, http: Http) {
        let mut pace = tokio::time::interval(PACE);
        while !self.stopped.load(Ordering::SeqCst) {
            pace.tick().await;
            let (requests, http) = (Arc::clone(&self), http.clone());
            self.begun.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let (status, body) = http.get_unbounded("/hello").await;
                let is_right = status == StatusCode::OK && &body[..] == b"Hello world!";
                let counter = if is_right {
                    &requests.answered
                } else {
                    &requests.refused
                };
                counter.fetch_add(1, Ordering::SeqCst);
            });
        }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    fn waiting(&self) -> usize {
        self.begun() - self.answered() - self.refused.load(Ordering::SeqCst)
    }

    async fn expect_more_begun(&self, count: usize) {
        let target = self.begun() + count;
        until("more requests", || self.begun() >= target).await;
    }

    async fn expect_more_answered(&self, count: usize) {
        let target = self.answered() + count;
        until("more answers", || self.answered() >= target).await;
    }
}

async fn open_sockets(port: u16, count: usize) -> Vec<Socket> {
    let mut opening = JoinSet::new();
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        if opening.len() == OPENING {
            sockets.push(
                opening
                    .join_next()
                    .await
                    .expect("some are opening")
                    .expect("it opens"),
            );
        }
        opening.spawn(Socket::open(port, "/echo/"));
    }
    sockets.extend(opening.join_all().await);
    sockets
}

/// Sends `text` on every socket.
async fn say(sockets: &mut [Socket], text: &str) {
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.say(&format!("{text} {number}")).await;
    }
}

/// Every socket hears what it has said, and nothing else before.
async fn expect_echoes(sockets: &mut [Socket], text: &str) {
    for (number, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(socket.hear().await, format!("{text} {number}"));
    }
}

/// As many files as the system grants, for this program and those it starts.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a soft limit may be raised");
}

/// Workers are restarted under so many open sockets, and running requests.
pub async fn check_restarts(settings: &impl SiteSettings, count: usize) {
    raise_file_limit();
    let (_daphne, port) = Program::daphne(settings);
    let mut worker = Program::worker(settings);
    let mut sockets = open_sockets(port, count).await;
    let requests = Requests::start(port);
    say(&mut sockets, "hello").await;
    expect_echoes(&mut sockets, "hello").await;
    requests.expect_more_answered(50).await;

    // Asked to end, it finishes what it has begun.
    worker.terminate();
    tokio::task::spawn_blocking(move || worker.wait())
        .await
        .expect("no panic");
    say(&mut sockets, "waiting").await;
    requests.expect_more_begun(100).await;
    assert!(requests.waiting() >= 100, "requests wait for a worker");
    let mut worker = Program::worker(settings);
    expect_echoes(&mut sockets, "waiting").await;
    until("no request to be left", || requests.waiting() <= 10).await;
    requests.expect_more_answered(50).await;

    // Killed, it takes with it what it was at.
    worker.kill();
    let before = requests.waiting();
    say(&mut sockets, "alone").await;
    requests.expect_more_begun(100).await;
    let _worker = Program::worker(settings);
    expect_echoes(&mut sockets, "alone").await;
    assert!(before <= IN_FLIGHT + 100, "{before}");
    requests.stopped.store(true, Ordering::SeqCst);
    let lost = within("the last answers", async {
        let mut answered = requests.answered();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if requests.answered() == answered {
                return requests.waiting();
            }
            answered = requests.answered();
        }
    })
    .await;
    assert!(lost <= IN_FLIGHT, "{lost} requests are not answered");
    assert_eq!(requests.refused.load(Ordering::SeqCst), 0);

    say(&mut sockets, "good bye").await;
    expect_echoes(&mut sockets, "good bye").await;
}
