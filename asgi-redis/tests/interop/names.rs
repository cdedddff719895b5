//! Single-reader and process-specific channels, and waiting for messages.

use asgiref::{ChannelLayer as _, message};

use crate::support::pair::{ORIGINAL, Settings, channel, take};
use crate::support::python::Python;
use crate::support::resp::Reply;
use crate::support::server::RedisServer;
use crate::support::{until, within};

#[tokio::test]
async fn a_receive_of_python_that_waits_gets_what_we_send() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let ours = settings.ours();
    let message = message! { "value" => "late" };
    for name in ["normal", "single?reader", "process!local"] {
        let in_python = settings.clone();
        let receives = tokio::task::spawn_blocking(move || {
            let python = Python::start(&ORIGINAL);
            let theirs = in_python.theirs_in(&python);
            theirs.receive(&["normal", "single?reader", "process!"])
        });
        until("Python to wait", || blocked_clients(&server) >= 1).await;
        ours.send(&channel(name), message.clone())
            .await
            .expect("there is room");
        let received = within("Python to receive", receives)
            .await
            .expect("no panic");
        assert_eq!(received, Ok(Some((name.to_owned(), message.clone()))));
        until("nobody to wait", || blocked_clients(&server) == 0).await;
    }
}

fn blocked_clients(server: &RedisServer) -> usize {
    server.info("blocked_clients").parse().expect("a number")
}

/// A message that was received is gone, with its body.
#[tokio::test]
async fn nothing_is_left_of_what_was_received() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    for name in ["normal", "single?reader", "process!local"] {
        let message = message! { "value" => 1 };
        theirs.send(name, &message).expect("there is room");
        take(&ours, channel(name).non_local()).await;
        ours.send(&channel(name), message)
            .await
            .expect("there is room");
        let received = theirs.try_receive(&[channel(name).non_local()]);
        assert!(received.expect("no exception").is_some());
    }
    assert_eq!(server.keys(&settings.key("[^:]*")), Vec::<String>::new());
    assert_eq!(
        server.command(&["EXISTS", &settings.key("normal")]),
        Reply::Int(0)
    );
}

/// Python takes a message's name from the list and then fetches it; so may we, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_both_kinds_share_the_messages() {
    const MESSAGES: i64 = 1_000;
    let settings = Settings::shared().capacity(10_000);
    let (sender, ours) = (settings.ours(), settings.ours());
    let in_python = settings.clone();
    let python_reads = tokio::task::spawn_blocking(move || {
        let python = Python::start(&ORIGINAL);
        let theirs = in_python.theirs_in(&python);
        let mut numbers = Vec::new();
        loop {
            let received = theirs
                .receive(&["shared", "end.of.python"])
                .expect("no exception");
            match received {
                Some((name, _)) if name == "end.of.python" => return numbers,
                Some((_, message)) => numbers.push(message.int("number").expect("a number")),
                None => {}
            }
        }
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
    for number in 0..MESSAGES {
        let message = message! { "number" => number };
        sender
            .send(&channel("shared"), message)
            .await
            .expect("there is room");
    }
    let list = settings.key("shared");
    let server = RedisServer::shared();
    until("all to be taken", || {
        server.command(&["LLEN", &list]).int() == 0
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
