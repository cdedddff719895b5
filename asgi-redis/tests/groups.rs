//! What groups of many members cost.

mod support;

use std::collections::BTreeSet;

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, ChannelLayerExt as _, Groups, message};
use support::pair::{Settings, channel, group, look, take};
use support::proxy::FaultProxy;
use support::server::RedisServer;
use support::until;

fn groups(layer: &RedisChannelLayer) -> &dyn Groups {
    layer.require_groups().expect("the layer has groups")
}

async fn add(layer: &RedisChannelLayer, process: &str, count: usize) -> BTreeSet<String> {
    let names: BTreeSet<_> = (0..count)
        .map(|number| format!("{process}{number}"))
        .collect();
    for name in &names {
        groups(layer)
            .group_add(&group("crowd"), &channel(name))
            .await
            .expect("added");
    }
    names
}

/// As many bodies as members are in the server if each has its own; one for each process is
/// enough.
#[tokio::test]
async fn the_members_on_one_process_share_a_body() {
    const MEMBERS: usize = 1_000;
    let server = RedisServer::start();
    let proxy = FaultProxy::start(server.port());
    // Far more members than the queue has room for.
    let settings = Settings::on([&server]).capacity(20);
    let reader = settings
        .clone()
        .reached_at([server.url_at(proxy.port())])
        .ours();
    let sender = settings.ours();
    let members = add(&sender, "process!", MEMBERS).await;
    // Once it reads, the process has said what it understands.
    assert_eq!(look(&reader, "process!").await, None);
    sender
        .send(&channel("process!0"), message! { "text" => "first" })
        .await
        .expect("room");
    assert_eq!(take(&reader, "process!").await.0, "process!0");

    // What is sent stays in the server while nothing arrives there from the reader.
    proxy.blackhole();
    for text in ["one", "two"] {
        let sent = groups(&sender)
            .send_group(&group("crowd"), message! { "text" => text })
            .await;
        sent.expect("sent");
    }
    let bodies = server.keys(&settings.key("[0-9a-f]*")).len();
    assert!(
        (1..=4).contains(&bodies),
        "{bodies} bodies for two messages"
    );
    proxy.pass();
    for text in ["one", "two"] {
        let mut reached = BTreeSet::new();
        for _ in 0..MEMBERS {
            let (member, received) = take(&reader, "process!").await;
            assert_eq!(received, message! { "text" => text });
            assert!(reached.insert(member.clone()), "{member} got it twice");
        }
        assert_eq!(reached, members);
    }
    assert_eq!(look(&reader, "process!").await, None);
    assert_eq!(sender.figures().group_full, 0);
}

/// The same with encryption, of which the receiver must undo as much.
#[tokio::test]
async fn encrypted_messages_reach_every_member() {
    const MEMBERS: usize = 300;
    let settings = Settings::shared().keys(&["a secret"]).capacity(1_000);
    let (reader, sender) = (settings.ours(), settings.ours());
    let mut members = add(&sender, "process.A!", MEMBERS).await;
    members.extend(add(&sender, "process.B!", MEMBERS).await);
    for text in ["before it has read", "and after"] {
        let sent = groups(&sender)
            .send_group(&group("crowd"), message! { "text" => text })
            .await;
        sent.expect("sent");
        let mut reached = BTreeSet::new();
        for process in ["process.A!", "process.B!"] {
            for _ in 0..MEMBERS {
                let (member, received) = take(&reader, process).await;
                assert_eq!(received, message! { "text" => text });
                assert!(reached.insert(member.clone()), "{member} got it twice");
            }
        }
        assert_eq!(reached, members);
    }
}

/// Nobody has said for that process that it understands more than the original did.
#[tokio::test]
async fn members_on_a_process_that_never_read_get_bodies_of_their_own() {
    const MEMBERS: usize = 30;
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let sender = settings.ours();
    let members = add(&sender, "process!", MEMBERS).await;
    let sent = groups(&sender)
        .send_group(&group("crowd"), message! { "text" => "hello" })
        .await;
    sent.expect("sent");
    assert_eq!(
        server.command(&["LLEN", &settings.key("process!")]).int(),
        30
    );
    let theirs = settings.theirs();
    let mut reached = BTreeSet::new();
    for _ in 0..MEMBERS {
        let received = theirs.try_receive(&["process!"]).expect("no exception");
        reached.insert(received.expect("one for each member").0);
    }
    assert_eq!(reached, members);
}

#[tokio::test]
async fn every_member_that_misses_a_message_is_counted() {
    const MEMBERS: usize = 50;
    let settings = Settings::shared().capacity(20);
    let sender = settings.ours();
    add(&sender, "process!", MEMBERS).await;
    let sent = groups(&sender)
        .send_group(&group("crowd"), message! { "text" => "hello" })
        .await;
    sent.expect("full members are no error");
    let missed = sender.figures().group_full;
    assert_eq!(missed, 30);
    let statistics = sender
        .require_statistics()
        .expect("the layer has statistics");
    let figures = statistics
        .channel_statistics(&channel("process!"))
        .await
        .expect("statistics");
    assert_eq!(
        (figures.messages_count, figures.channel_full_count),
        (20, 30)
    );
    let reader = settings.ours();
    for _ in 0..20 {
        take(&reader, "process!").await;
    }
    assert_eq!(look(&reader, "process!").await, None);
}

/// However many members there are, the servers are asked a few times only.
#[tokio::test]
async fn a_group_send_takes_as_many_commands_for_many_members_as_for_few() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]).capacity(100_000);
    let sender = settings.ours();
    let mut costs = Vec::new();
    for count in [2, 1_000] {
        add(&sender, &format!("process.{count}!"), count).await;
        let send = async || {
            let sent = groups(&sender)
                .send_group(&group("crowd"), message! {})
                .await;
            sent.expect("sent");
        };
        // Scripts are loaded the first time.
        send().await;
        let before = commands(&server);
        send().await;
        costs.push(commands(&server) - before);
    }
    assert!(costs[1] <= costs[0] + 2, "{costs:?}");
}

/// The members, what is on their channels and how full these are is known to one server, which
/// does everything at once; of queues whose capacities differ, once it was told them.
#[tokio::test]
async fn a_send_to_a_group_on_one_server_is_one_request() {
    for differ in [false, true] {
        let server = RedisServer::start();
        let mut settings = Settings::on([&server]).capacity(1_000);
        if differ {
            settings = settings.channel_capacity("process.*!", 500);
        }
        let sender = settings.ours();
        let mut members = BTreeSet::new();
        for member in ["normal", "single?reader", "n"] {
            let added = groups(&sender)
                .group_add(&group("crowd"), &channel(member))
                .await;
            added.expect("added");
            members.insert(member.to_owned());
        }
        for (process, count) in [("process.A!", 100), ("process.B!", 20), ("process.C!", 1)] {
            members.extend(add(&sender, process, count).await);
        }
        server.command(&["SET", &settings.key(":reader:process.A!"), "1"]);
        let texts = ["one", "two", "three"];
        for (number, text) in texts.into_iter().enumerate() {
            let before = commands(&server);
            let sent = groups(&sender)
                .send_group(&group("crowd"), message! { "text" => text })
                .await;
            sent.expect("sent");
            if number > 0 {
                assert_eq!(commands(&server) - before, 1, "capacities differ: {differ}");
            }
        }
        let length = |queue| server.command(&["LLEN", &settings.key(queue)]).int();
        assert_eq!(length("process.A!"), 3);
        assert_eq!(length("process.B!"), 60);
        let reader = settings.ours();
        for queue in [
            "normal",
            "single?reader",
            "n",
            "process.A!",
            "process.B!",
            "process.C!",
        ] {
            let ours: BTreeSet<_> = members
                .iter()
                .filter(|member| {
                    *member == queue || (queue.ends_with('!') && member.starts_with(queue))
                })
                .cloned()
                .collect();
            assert!(!ours.is_empty());
            for text in texts {
                let mut reached = BTreeSet::new();
                for _ in 0..ours.len() {
                    let (member, received) = take(&reader, queue).await;
                    assert_eq!(received, message! { "text" => text });
                    assert!(reached.insert(member.clone()), "{member} got it twice");
                }
                assert_eq!(reached, ours);
            }
            assert_eq!(look(&reader, queue).await, None);
        }
        let statistics = sender.require_statistics().expect("statistics");
        let figures = statistics.global_statistics().await.expect("statistics");
        assert_eq!(figures.messages_count, 3 * members.len() as u64);
    }
}

/// So many that their bodies are several requests, of which the first finds that a message expired,
/// and the next does not.
#[tokio::test]
async fn members_who_are_looked_at_again_get_a_message_once() {
    const MEMBERS: usize = 5_000;
    let server = RedisServer::start();
    let settings = Settings::on([&server]).capacity(2 * MEMBERS).expiry(2);
    let sender = settings.ours();
    add(&sender, "process!", MEMBERS).await;
    let sent = sender.send(&channel("process!0"), message! {}).await;
    sent.expect("there is room");
    until("the message to expire", || {
        server.keys(&settings.key("[0-9a-f]*")).is_empty()
    })
    .await;
    let sent = groups(&sender)
        .send_group(&group("crowd"), message! {})
        .await;
    sent.expect("sent");
    let length = server.command(&["LLEN", &settings.key("process!")]).int();
    assert_eq!(length, MEMBERS as i64 - 1);
}

#[tokio::test]
async fn members_miss_a_message_by_the_capacity_of_their_own_queue() {
    let settings = Settings::shared()
        .capacity(30)
        .channel_capacity("small.*!", 5);
    let sender = settings.ours();
    add(&sender, "small.A!", 20).await;
    add(&sender, "large.A!", 20).await;
    // The second time the server is told the capacities.
    for missed in [15, 15 + 30] {
        let sent = groups(&sender)
            .send_group(&group("crowd"), message! {})
            .await;
        sent.expect("full members are no error");
        let more = sender.figures().group_full;
        assert_eq!(more, missed);
    }
}

/// Whatever another program has put into the set.
#[tokio::test]
async fn members_that_are_no_names_are_left_out() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let sender = settings.ours();
    add(&sender, "process!", 3).await;
    let long = "x".repeat(300);
    for member in [
        "",
        "?",
        ":group:crowd",
        "two words",
        "a!b!c",
        "process!\u{fc}",
        &long,
    ] {
        let key = settings.group_key("crowd");
        server.command(&["ZADD", &key, "99999999999", member]);
    }
    for _ in 0..2 {
        let sent = groups(&sender)
            .send_group(&group("crowd"), message! {})
            .await;
        sent.expect("sent");
    }
    let length = server.command(&["LLEN", &settings.key("process!")]).int();
    assert_eq!(length, 6);
    let keys = server.keys(&settings.key("*"));
    assert_eq!(keys.len(), 6 + 2, "bodies, a list and the group: {keys:?}");
}

#[tokio::test]
async fn a_server_without_memory_stores_nothing_for_a_group() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]);
    let sender = settings.ours();
    add(&sender, "process!", 3).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let sent = groups(&sender)
        .send_group(&group("crowd"), message! {})
        .await;
    assert!(sent.is_err());
    assert_eq!(
        server.command(&["EXISTS", &settings.key("process!")]).int(),
        0
    );
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let sent = groups(&sender)
        .send_group(&group("crowd"), message! {})
        .await;
    sent.expect("sent");
    assert_eq!(
        server.command(&["LLEN", &settings.key("process!")]).int(),
        3
    );
}

/// How many commands of group sends clients have sent, those of scripts left out, which use other
/// ones.
fn commands(server: &RedisServer) -> u64 {
    let calls = ["evalsha", "eval", "zrange"].map(|command| server.calls(command));
    calls.iter().sum()
}
