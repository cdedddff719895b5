//! Single-reader and process-specific channels, and waiting for messages.

use std::time::Instant;

use asgiref::{ChannelLayer as _, message};

use crate::support::broker::Broker;
use crate::support::pair::{Settings, channel, original, take};
use crate::support::python::Python;
use crate::support::topology::Topology;
use crate::support::{LIMIT, until, within};

fn topology(settings: &Settings) -> Topology {
    Topology::of(Broker::shared(), settings.virtual_host())
}

#[tokio::test]
async fn a_receive_of_python_that_waits_gets_what_we_send() {
    let settings = Settings::shared();
    let ours = settings.ours();
    let message = message! { "value" => "late" };
    for name in ["normal", "single?reader", "process!local"] {
        let in_python = settings.clone();
        let queue = channel(name).non_local().to_owned();
        let receives = tokio::task::spawn_blocking(move || {
            let python = Python::start(&original());
            let theirs = in_python.theirs_in(&python);
            theirs.receive(&[&queue])
        });
        // It declares what it waits for.
        until("Python to wait", || {
            let queues = topology(&settings).queues;
            queues.contains_key(channel(name).non_local())
        })
        .await;
        ours.send(&channel(name), message.clone())
            .await
            .expect("there is room");
        let received = within("Python to receive", receives)
            .await
            .expect("no panic");
        assert_eq!(received, Ok(Some((name.to_owned(), message.clone()))));
    }
}

/// A message that was received is gone.
#[tokio::test]
async fn nothing_is_left_of_what_was_received() {
    let settings = Settings::shared();
    let (ours, theirs) = (settings.ours(), settings.theirs());
    for name in ["normal", "single?reader", "process!local"] {
        let message = message! { "value" => 1 };
        theirs.send(name, &message).expect("there is room");
        take(&ours, channel(name).non_local()).await;
        ours.send(&channel(name), message)
            .await
            .expect("there is room");
        // Of what we were given ahead, the rest is Python's again.
        until("Python to receive it", || {
            let received = theirs.try_receive(&[channel(name).non_local()]);
            received.expect("no exception").is_some()
        })
        .await;
        until("nothing to be left", || {
            topology(&settings).messages(channel(name).non_local()) == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_both_kinds_share_the_messages() {
    const MESSAGES: i64 = 300;
    let settings = Settings::shared().capacity(10_000);
    let (sender, ours) = (settings.ours(), settings.ours());
    let in_python = settings.clone();
    let python_reads = tokio::task::spawn_blocking(move || {
        let python = Python::start(&original());
        let theirs = in_python.theirs_in(&python);
        let mut numbers = Vec::new();
        let begin = Instant::now();
        while begin.elapsed() < LIMIT {
            let received = theirs
                .try_receive(&["shared", "end.of.python"])
                .expect("no exception");
            match received {
                Some((name, _)) if name == "end.of.python" => return numbers,
                Some((_, message)) => numbers.push(message.int("number").expect("a number")),
                None => {}
            }
        }
        panic!("nothing tells Python to end")
    });
    let names = [channel("shared"), channel("end.of.ours")];
    let we_read = tokio::spawn(async move {
        let mut numbers = Vec::new();
        loop {
            let (name, message) = ours.receive(&names).await.expect("the layer works");
            if name == "end.of.ours" {
                return numbers;
            }
            numbers.push(message.int("number").expect("a number"));
            // So that Python gets its share.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    // Both are there before the first message.
    until("Python to read", || {
        topology(&settings).queues.contains_key("end.of.python")
    })
    .await;
    for number in 0..MESSAGES {
        let message = message! { "number" => number };
        sender
            .send(&channel("shared"), message)
            .await
            .expect("there is room");
    }
    until("all to be taken", || {
        topology(&settings).messages("shared") == 0
    })
    .await;
    for end in ["end.of.python", "end.of.ours"] {
        sender
            .send(&channel(end), message! {})
            .await
            .expect("there is room");
    }
    let python_s = within("Python to end", python_reads)
        .await
        .expect("no panic");
    let ours = within("our reader to end", we_read)
        .await
        .expect("no panic");
    assert!(!python_s.is_empty() && !ours.is_empty());
    let mut all = [python_s, ours].concat();
    all.sort_unstable();
    assert_eq!(all, (0..MESSAGES).collect::<Vec<_>>());
}
