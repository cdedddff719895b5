//! Several servers, on which both sides keep everything at the same places.

use std::collections::BTreeSet;

use asgiref::{ChannelLayer as _, ChannelLayerExt as _, message};

use crate::support::pair::{Settings, channel, group, take};
use crate::support::server::RedisServer;

/// The servers that hold `key`, as indexes.
fn holders(servers: &[RedisServer], key: &str) -> Vec<usize> {
    let holds = |server: &RedisServer| server.command(&["EXISTS", key]).int() == 1;
    let holders = servers
        .iter()
        .enumerate()
        .filter(|(_, server)| holds(server));
    holders.map(|(index, _)| index).collect()
}

#[tokio::test]
async fn both_sides_keep_channels_and_groups_on_the_same_servers() {
    let servers = RedisServer::several(3);
    let settings = Settings::on(&servers);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    let mut used = BTreeSet::new();
    for number in 0..20 {
        for name in [
            format!("daphne.response.{number}!{number}"),
            format!("http.request.body?{number}"),
        ] {
            let name = channel(&name);
            let shard = theirs.shard_of(name.non_local()).expect("an index");
            ours.send(&name, message! { "by" => "us" })
                .await
                .expect("there is room");
            let list = settings.key(name.non_local());
            assert_eq!(holders(&servers, &list), [shard], "{name}");
            let received = theirs
                .try_receive(&[name.non_local()])
                .expect("no exception");
            assert_eq!(received.expect("it is there").0, name.as_str());
            theirs
                .send(name.as_str(), &message! { "by" => "Python" })
                .expect("there is room");
            assert_eq!(take(&ours, name.non_local()).await.0, name.as_str());
            used.insert(shard);
        }
        let name = format!("group-{number}");
        let shard = theirs.shard_of(&name).expect("an index");
        let groups = ours.require_groups().expect("the layer has groups");
        groups
            .group_add(&group(&name), &channel("a.member"))
            .await
            .expect("added");
        assert_eq!(
            holders(&servers, &settings.group_key(&name)),
            [shard],
            "{name}"
        );
        assert_eq!(theirs.group_channels(&name).expect("members"), ["a.member"]);
    }
    assert_eq!(used, BTreeSet::from([0, 1, 2]));
}

#[tokio::test]
async fn we_receive_normal_messages_wherever_python_put_them() {
    let servers = RedisServer::several(3);
    let settings = Settings::on(&servers);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    for number in 0..30 {
        theirs
            .send("http.request", &message! { "number" => number })
            .expect("there is room");
    }
    assert_eq!(holders(&servers, &settings.key("http.request")), [0, 1, 2]);
    let mut received = BTreeSet::new();
    for _ in 0..30 {
        let (_, message) = take(&ours, "http.request").await;
        received.insert(message.int("number").expect("a number"));
    }
    assert_eq!(received, (0..30).collect());
}

#[tokio::test]
async fn python_receives_normal_messages_wherever_we_put_them() {
    let servers = RedisServer::several(3);
    let settings = Settings::on(&servers);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    for number in 0..30 {
        let message = message! { "number" => number };
        ours.send(&channel("http.request"), message)
            .await
            .expect("there is room");
    }
    let key = settings.key("http.request");
    for server in &servers {
        assert_eq!(
            server.command(&["LLEN", &key]).int(),
            10,
            "they are spread evenly"
        );
    }
    let mut received = BTreeSet::new();
    // Python looks at one server each time.
    for _ in 0..90 {
        if let Some((_, message)) = theirs.try_receive(&["http.request"]).expect("no exception") {
            received.insert(message.int("number").expect("a number"));
        }
    }
    assert_eq!(received, (0..30).collect());
}

/// The original may leave a message on one server while it waits on another; ours waits on all.
#[tokio::test]
async fn a_receive_that_waits_is_served_from_any_server() {
    let servers = RedisServer::several(3);
    let settings = Settings::on(&servers);
    let ours = settings.ours();
    let alone: Vec<_> = servers
        .iter()
        .map(|server| Settings::on([server]).prefix(&settings.key("")).theirs())
        .collect();
    for round in 0..3 {
        for (index, theirs) in alone.iter().enumerate() {
            let names = [channel("http.request"), channel("websocket.receive")];
            let receive = ours.receive(&names);
            tokio::pin!(receive);
            let early = tokio::time::timeout(std::time::Duration::from_millis(20), &mut receive);
            assert!(early.await.is_err());
            let sent = message! { "server" => index as i64, "round" => round };
            theirs.send("http.request", &sent).expect("there is room");
            // Well below the five seconds the original may take.
            let limit = std::time::Duration::from_secs(3);
            let received = tokio::time::timeout(limit, receive)
                .await
                .expect("it is noticed");
            assert_eq!(
                received.expect("the layer works"),
                (channel("http.request"), sent)
            );
        }
    }
}

#[tokio::test]
async fn groups_reach_members_on_all_servers_from_both_sides() {
    let servers = RedisServer::several(3);
    let settings = Settings::on(&servers);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    let groups = ours.require_groups().expect("the layer has groups");
    let processes: Vec<String> = (0..12).map(|number| format!("process.{number}!")).collect();
    let mut members = BTreeSet::new();
    for process in &processes {
        for local in ["a", "b"] {
            let member = format!("{process}{local}");
            groups
                .group_add(&group("wide"), &channel(&member))
                .await
                .expect("added");
            members.insert(member);
        }
    }
    let used: BTreeSet<_> = processes
        .iter()
        .map(|name| theirs.shard_of(name).expect("an index"))
        .collect();
    assert_eq!(used.len(), 3, "the members are on all servers");

    let by_us = message! { "by" => "us" };
    groups
        .send_group(&group("wide"), by_us.clone())
        .await
        .expect("sent");
    let by_python = message! { "by" => "Python" };
    let mut reached = BTreeSet::new();
    for process in &processes {
        for _ in 0..2 {
            let received = theirs.try_receive(&[process]).expect("no exception");
            let (member, message) = received.expect("one for each member");
            assert_eq!(message, by_us);
            reached.insert(member);
        }
    }
    assert_eq!(reached, members);

    theirs.send_group("wide", &by_python).expect("sent");
    let mut reached = BTreeSet::new();
    for process in &processes {
        for _ in 0..2 {
            let (member, message) = take(&ours, process).await;
            assert_eq!(message, by_python);
            reached.insert(member);
        }
    }
    assert_eq!(reached, members);
}
