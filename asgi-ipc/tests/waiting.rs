//! Processes that wait: they cost nothing, and one that does not take its message keeps no other
//! from getting it.

#[path = "support/child.rs"]
mod child;
#[path = "support/remote.rs"]
mod remote;
mod support;

use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use asgi_ipc::{IpcChannelLayer, inspect};
use asgiref::{ChannelLayer, ChannelName, message};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::time::{sleep, timeout};

use child::Parent;
use remote::RemoteLayer;
use support::Segments;

const WORK: ChannelName = ChannelName::from_static("work");

fn layer(directory: &Path) -> IpcChannelLayer {
    let layer = IpcChannelLayer::builder()
        .directory(directory)
        .message_memory(1 << 20)
        .group_memory(1 << 20)
        .build();
    layer.expect("a segment can be made")
}

#[test]
#[ignore = "a process of the other tests"]
fn serve() {
    let (stream, directory) = child::connect();
    let layer: Arc<dyn ChannelLayer> = Arc::new(layer(&directory));
    remote::serve(&layer, stream);
}

async fn start(parent: &Parent) -> (Pid, Arc<RemoteLayer>) {
    let process: Child = parent.spawn("serve");
    let pid = Pid::from_child(&process);
    let (stream, _) = parent.listener.accept().expect("the child connects");
    let layer = RemoteLayer::new(process, stream, Duration::from_secs(86_400));
    // It has opened the layer when it answers.
    layer.try_receive(&[WORK]).await.expect("the layer works");
    (pid, Arc::new(layer))
}

/// Begins to wait for work in another process, and returns when it does.
async fn begin_to_wait(
    segments: &Segments,
    layer: &Arc<RemoteLayer>,
) -> tokio::task::JoinHandle<i64> {
    let layer = Arc::clone(layer);
    let waiting = tokio::spawn(async move {
        let (_, message) = layer.receive(&[WORK]).await.expect("the layer works");
        message.int("number").expect("it was sent so")
    });
    let is_waited_for = || {
        let found = inspect::inspect(segments.path(), "asgi").expect("a segment");
        found
            .channels
            .iter()
            .any(|channel| channel.name == "work" && channel.waited_for)
    };
    timeout(Duration::from_secs(10), async {
        while !is_waited_for() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the other process waits");
    waiting
}

#[tokio::test]
async fn a_message_that_a_stopped_process_was_woken_for_goes_to_another() {
    let segments = Segments::new();
    let parent = Parent::new(segments.path());
    let sender = layer(segments.path());
    let (stopped_pid, stopped) = start(&parent).await;
    let (_, other) = start(&parent).await;
    let stopped_waits = begin_to_wait(&segments, &stopped).await;
    kill_process(stopped_pid, Signal::STOP).expect("the child is ours");
    // Some of its threads go on until all have noticed.
    waitpid(Some(stopped_pid), WaitOptions::UNTRACED).expect("the child is ours");

    for number in 0..4 {
        let waiting = begin_to_wait(&segments, &other).await;
        sender
            .send(&WORK, message! { "number" => number })
            .await
            .expect("there is room");
        let received = timeout(Duration::from_secs(2), waiting).await;
        let received = received.unwrap_or_else(|_| {
            let found = inspect::inspect(segments.path(), "asgi");
            panic!("message {number} waits in vain: {found:?}")
        });
        assert_eq!(received.expect("the call ends"), number);
    }
    stopped_waits.abort();
    kill_process(stopped_pid, Signal::KILL).expect("the child is ours");
}

#[tokio::test]
async fn a_client_that_was_killed_is_forgotten() {
    let segments = Segments::new();
    let parent = Parent::new(segments.path());
    let (pid, first) = start(&parent).await;
    let waiting = begin_to_wait(&segments, &first).await;
    waiting.abort();
    kill_process(pid, Signal::KILL).expect("the child is ours");
    drop(first);
    let (_, _second) = start(&parent).await;
    let found = inspect::inspect(segments.path(), "asgi").expect("a segment");
    assert_eq!(found.clients.len(), 1, "{found:?}");
    assert!(
        found.channels.iter().all(|channel| !channel.waited_for),
        "{found:?}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn waiting_costs_nothing() {
    let segments = Segments::new();
    let parent = Parent::new(segments.path());
    let (pid, waiter) = start(&parent).await;
    let waiting = begin_to_wait(&segments, &waiter).await;
    // What came before, the beginning of the wait, may still be going on.
    let mut before = switches(pid);
    timeout(Duration::from_secs(30), async {
        loop {
            sleep(Duration::from_secs(1)).await;
            let now = switches(pid);
            if now == before {
                break;
            }
            before = now;
        }
    })
    .await
    .expect("a process that waits is woken by nothing for a second");
    waiting.abort();
}

/// How often the threads of a process have gone to sleep.
#[cfg(target_os = "linux")]
fn switches(pid: Pid) -> u64 {
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    let count = |task: std::io::Result<std::fs::DirEntry>| -> u64 {
        let status = task.expect("a thread").path().join("status");
        let status = std::fs::read_to_string(status).expect("its status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.expect("it is told").trim().parse().expect("a number")
    };
    std::fs::read_dir(tasks)
        .expect("the process is there")
        .map(count)
        .sum()
}
