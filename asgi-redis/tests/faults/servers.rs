//! Servers that are restarted, stopped, emptied, full or not to be written to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use asgiref::{ChannelLayer as _, ChannelLayerExt as _, Error, message};
use futures_util::future::join_all;

use crate::support::pair::{Settings, channel, group, look, take};
use crate::support::resp::{Connection, Reply};
use crate::support::server::{RedisOptions, RedisServer};
use crate::support::{until, within};
use crate::traffic::{DETECTION, IN_FLIGHT, Traffic};

#[tokio::test]
async fn a_server_may_be_restarted() {
    const ROUNDS: usize = 3;
    let mut server = RedisServer::start();
    let settings = Settings::on([&server]);
    let receiver = settings.ours();
    let traffic = Traffic::start(settings.ours(), receiver.clone());
    for _ in 0..ROUNDS {
        traffic.expect_flowing().await;
        server.kill();
        traffic.expect_failing().await;
        server.start_again();
        traffic.expect_flowing().await;
    }
    traffic
        .finish()
        .await
        .expect_lost_at_most(ROUNDS * IN_FLIGHT);
    until("all losses to be noticed", || {
        receiver.figures().data_lost == ROUNDS as u64
    })
    .await;
}

/// Those whose answer is missing may have been executed or not.
#[tokio::test]
async fn sends_made_together_fail_with_their_server_and_are_not_repeated() {
    const SENDERS: usize = 64;
    let mut server = RedisOptions::new().persistent().start();
    let settings = Settings::on([&server]).capacity(1_000_000);
    let sender = settings.ours();
    let numbers = Arc::new(AtomicI64::new(0));
    let mut sent = BTreeSet::new();
    for _ in 0..3 {
        let before = numbers.load(Ordering::SeqCst);
        let senders = join_all((0..SENDERS).map(|_| {
            let (sender, numbers) = (sender.clone(), Arc::clone(&numbers));
            tokio::spawn(async move {
                let mut sent = Vec::new();
                loop {
                    let number = numbers.fetch_add(1, Ordering::SeqCst);
                    let message = message! { "number" => number };
                    match sender.send(&channel("together"), message).await {
                        Ok(()) => sent.push(number),
                        Err(_) => return sent,
                    }
                }
            })
        }));
        let killing = async {
            until("many messages", || {
                numbers.load(Ordering::SeqCst) - before > 1_000
            })
            .await;
            server.kill();
        };
        let (all, ()) = within("the end", async { tokio::join!(senders, killing) }).await;
        for each in all {
            sent.extend(each.expect("no panic"));
        }
        server.start_again();
    }
    let receiver = settings.ours();
    let mut received = BTreeSet::new();
    while let Some((_, message)) = look(&receiver, "together").await {
        let number = message.int("number").expect("a number");
        assert!(received.insert(number), "{number} came twice");
    }
    let lost: Vec<_> = sent.difference(&received).collect();
    assert!(lost.is_empty(), "sent and not there: {lost:?}");
}

#[tokio::test]
async fn what_a_server_writes_down_outlives_its_crash() {
    let mut server = RedisOptions::new().persistent().start();
    let settings = Settings::on([&server]);
    let sender = settings.ours();
    for number in 0..50 {
        let message = message! { "number" => number };
        sender
            .send(&channel("kept"), message)
            .await
            .expect("there is room");
    }
    server.restart();
    let receiver = settings.ours();
    for number in 0..50 {
        let (_, message) = take(&receiver, "kept").await;
        assert_eq!(message, message! { "number" => number });
    }
    within("send", async {
        while sender.send(&channel("kept"), message! {}).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(take(&receiver, "kept").await.1, message! {});
}

#[tokio::test]
async fn a_server_that_stands_still_gives_errors_and_then_traffic_again() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let traffic = Traffic::start(settings.ours(), settings.ours());
    traffic.expect_flowing().await;
    server.pause();
    traffic.expect_failing().await;
    server.resume();
    traffic.expect_flowing_within(DETECTION).await;
    traffic.finish().await.expect_lost_at_most(IN_FLIGHT);
}

/// While a server reads its data from disk it answers `LOADING` to everything.
#[tokio::test]
async fn a_server_that_loads_its_data_is_waited_for() {
    let mut server = RedisServer::start();
    let settings = Settings::on([&server]);
    // Enough to take a second or two at the pace below.
    let mut connection = server.connect();
    for number in 0..1_500 {
        connection
            .call(&["SET", &format!("filler:{number}"), "x"])
            .expect("it is stored");
    }
    server.command(&["SAVE"]);
    let traffic = Traffic::start(settings.ours(), settings.ours());
    traffic.expect_flowing().await;
    server.kill();
    traffic.expect_failing().await;
    server.set("key-load-delay", "1000");
    server.set("loading-process-events-interval-bytes", "1024");
    server.start_again_without_waiting();
    let loading = Reply::Error("LOADING Redis is loading the dataset in memory".to_owned());
    until("the server to load", || {
        let connection = Connection::open(server.port());
        connection
            .and_then(|mut new| new.call(&["PING"]))
            .is_ok_and(|reply| reply == loading)
    })
    .await;
    server.wait();
    traffic.expect_flowing().await;
    traffic.finish().await.expect_lost_at_most(IN_FLIGHT);
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_sent_again() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let traffic = Traffic::start(settings.ours(), settings.ours());
    for _ in 0..20 {
        traffic.expect_flowing().await;
        server.command(&["SCRIPT", "FLUSH"]);
    }
    traffic.expect_flowing().await;
    let record = traffic.finish().await;
    record.expect_no_errors();
    record.expect_lost_at_most(0);

    // All the other scripts.
    let ours = settings.ours();
    let groups = ours.require_groups().expect("the layer has groups");
    let statistics = ours.require_statistics().expect("the layer has statistics");
    for _ in 0..2 {
        server.command(&["SCRIPT", "FLUSH"]);
        groups
            .group_add(&group("chat"), &channel("member!a"))
            .await
            .expect("added");
        server.command(&["SCRIPT", "FLUSH"]);
        groups
            .send_group(&group("chat"), message! { "text" => "hello" })
            .await
            .expect("sent");
        server.command(&["SCRIPT", "FLUSH"]);
        assert_eq!(take(&ours, "member!").await.0, "member!a");
        server.command(&["SCRIPT", "FLUSH"]);
        assert_eq!(
            groups
                .group_channels(&group("chat"))
                .await
                .expect("members")
                .len(),
            1
        );
        server.command(&["SCRIPT", "FLUSH"]);
        assert_eq!(look(&ours, "member!").await, None);
        server.command(&["SCRIPT", "FLUSH"]);
        statistics
            .channel_statistics(&channel("member!a"))
            .await
            .expect("statistics");
        server.command(&["SCRIPT", "FLUSH"]);
        statistics.global_statistics().await.expect("statistics");
        server.command(&["SCRIPT", "FLUSH"]);
        groups
            .group_discard(&group("chat"), &channel("member!a"))
            .await
            .expect("discarded");
        server.command(&["SCRIPT", "FLUSH"]);
        ours.require_flush()
            .expect("flush")
            .flush()
            .await
            .expect("flushed");
    }
}

#[tokio::test]
async fn a_server_may_be_emptied() {
    const ROUNDS: usize = 5;
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let receiver = settings.ours();
    let traffic = Traffic::start(settings.ours(), receiver.clone());
    for _ in 0..ROUNDS {
        traffic.expect_flowing().await;
        server.command(&["FLUSHALL"]);
    }
    traffic.expect_flowing().await;
    until("the loss to be noticed", || {
        receiver.figures().data_lost > 0
    })
    .await;
    let record = traffic.finish().await;
    record.expect_no_errors();
    record.expect_lost_at_most(ROUNDS * IN_FLIGHT);
}

#[tokio::test]
async fn a_server_without_memory_refuses_messages_and_still_hands_them_out() {
    let server = RedisOptions::new()
        .set("maxmemory-policy", "noeviction")
        .start();
    let settings = Settings::on([&server]);
    let (sender, receiver) = (settings.ours(), settings.ours());
    for number in 0..10 {
        let message = message! { "number" => number };
        sender
            .send(&channel("stored"), message)
            .await
            .expect("there is room");
    }
    sender
        .send(&channel("process!one"), message! {})
        .await
        .expect("there is room");
    // One of those who receive is waiting already.
    let waiting = receiver.clone();
    let waits = tokio::spawn(async move { take(&waiting, "later").await });
    assert_eq!(look(&receiver, "elsewhere").await, None);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = within("send", sender.send(&channel("stored"), message! {})).await;
    let Err(Error::Backend { source, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        source.to_string().to_lowercase().contains("memory"),
        "{source}"
    );
    for number in 0..10 {
        let (_, message) = take(&receiver, "stored").await;
        assert_eq!(message, message! { "number" => number });
    }
    assert_eq!(take(&receiver, "process!").await.0, "process!one");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    for name in ["later", "stored"] {
        let sent = sender
            .send(&channel(name), message! { "number" => 10 })
            .await;
        sent.expect("there is room");
    }
    let (_, message) = within("the one who waits", waits).await.expect("no panic");
    assert_eq!(message, message! { "number" => 10 });
    assert_eq!(
        take(&receiver, "stored").await.1,
        message! { "number" => 10 }
    );
    assert_eq!(look(&receiver, "stored").await, None);
}

/// As after a failover, for whoever is still connected to the old master.
#[tokio::test]
async fn a_server_that_takes_no_writes_gives_errors_and_then_traffic_again() {
    let (server, master) = (RedisServer::start(), RedisServer::start());
    let settings = Settings::on([&server]);
    let traffic = Traffic::start(settings.ours(), settings.ours());
    traffic.expect_flowing().await;
    server.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    traffic.expect_failing().await;
    let record = traffic.now();
    let error = record.send_errors().last().expect("it has failed");
    assert!(error.contains("READONLY"), "{error}");
    server.command(&["REPLICAOF", "NO", "ONE"]);
    traffic.expect_flowing().await;
    traffic.finish().await.expect_lost_at_most(IN_FLIGHT);
}

/// What is on the others is received meanwhile.
#[tokio::test]
async fn one_server_of_three_may_be_away() {
    let mut servers = RedisServer::several(3);
    let settings = Settings::on(&servers);
    let receiver = settings.ours();
    assert_eq!(look(&receiver, "http.request").await, None);
    servers[1].kill();
    for index in [0, 2] {
        let alone = Settings::on([&servers[index]])
            .prefix(&settings.key(""))
            .ours();
        let message = message! { "server" => i64::try_from(index).expect("small") };
        for _ in 0..3 {
            alone
                .send(&channel("http.request"), message.clone())
                .await
                .expect("there is room");
        }
        for _ in 0..3 {
            let received = within("a message", async {
                let names = [channel("http.request")];
                loop {
                    // It may say that something is wrong, but not for ever.
                    if let Ok((_, message)) = receiver.receive(&names).await {
                        return message;
                    }
                    tokio::task::yield_now().await;
                }
            });
            assert_eq!(received.await, message);
        }
    }
    servers[1].start_again();
    let traffic = Traffic::start(settings.ours(), receiver);
    traffic.expect_flowing().await;
    traffic.finish().await.expect_lost_at_most(0);
}
