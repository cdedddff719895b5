//! A process that was stopped, not ended, while it held the lock: the others are told so, and go on
//! when it does.

#[path = "support/child.rs"]
mod child;
mod support;

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use asgi_ipc::{Error, IpcChannelLayer, inspect};
use asgiref::{ChannelLayer as _, ChannelLayerExt as _, ChannelName, message};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use child::Parent;
use support::Segments;

const CHANNEL: ChannelName = ChannelName::from_static("work");
/// Where the lock is in a segment.
const LOCK: u64 = 128;
/// How long an operation may take, and the search for the right moment.
const LIMIT: Duration = Duration::from_secs(30);

fn layer(directory: &Path) -> IpcChannelLayer {
    let layer = IpcChannelLayer::builder()
        .directory(directory)
        .message_memory(1 << 20)
        .group_memory(1 << 20)
        .build();
    layer.expect("a segment can be made")
}

#[test]
#[ignore = "a process of the test below"]
fn hold_the_lock() {
    let (mut parent, directory) = child::connect();
    let layer = layer(&directory);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    parent.set_nonblocking(true).unwrap();
    runtime.block_on(async {
        // What it does takes long, so that it has the lock nearly all the time.
        while parent.read(&mut [0]).is_err() {
            layer.require_flush().unwrap().flush().await.unwrap();
        }
    });
}

/// Stops the process at a moment at which it has the lock.
fn stop_inside(process: &Child, segment: &File) {
    let pid = Pid::from_child(process);
    let end = Instant::now() + LIMIT;
    loop {
        kill_process(pid, Signal::STOP).expect("the child is ours");
        waitpid(Some(pid), WaitOptions::UNTRACED).expect("the child is ours");
        let mut word = [0; 4];
        segment.read_exact_at(&mut word, LOCK).expect("a segment");
        if word != [0; 4] {
            return;
        }
        assert!(Instant::now() < end, "the process never has the lock");
        kill_process(pid, Signal::CONT).expect("the child is ours");
        std::thread::yield_now();
    }
}

#[test]
fn others_are_told_of_a_stopped_holder_and_go_on_when_it_does() {
    let segments = Segments::new();
    let parent = Parent::new(segments.path());
    let layer = layer(segments.path());
    let segment = File::open(segments.path().join("asgi-ipc.asgi")).unwrap();
    let mut process = parent.spawn("hold_the_lock");
    let (stream, _) = parent.listener.accept().expect("the child connects");
    stop_inside(&process, &segment);

    // As many at a time as a process may have threads: none waits for the others.
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let layer = layer.clone();
            let pid = process.id();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let sent = runtime.block_on(layer.send(&CHANNEL, message! { "k" => 1 }));
                let error = sent.expect_err("the lock is not free");
                let cause = std::error::Error::source(&error).and_then(|it| it.downcast_ref());
                assert!(
                    matches!(cause, Some(Error::Stuck { pid: holder }) if *holder == pid),
                    "{error:?}"
                );
            });
        }
    });
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());

    kill_process(Pid::from_child(&process), Signal::CONT).expect("the child is ours");
    drop(stream);
    assert!(process.wait().expect("the child is ours").success());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        layer.send(&CHANNEL, message! { "k" => 2 }).await.unwrap();
        let (_, received) = layer.receive(&[CHANNEL]).await.unwrap();
        assert_eq!(received, message! { "k" => 2 });
    });
    let found = inspect::inspect(segments.path(), "asgi").unwrap();
    assert_eq!(found.repairs, 0, "nothing was taken from a living process");
}
