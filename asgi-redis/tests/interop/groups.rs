//! Groups with members on both sides.

use std::collections::BTreeSet;

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, ChannelLayerExt as _, Groups, message};

use crate::support::pair::{Settings, channel, group, look, take};
use crate::support::server::RedisServer;
use crate::support::{until, within};

fn groups(layer: &RedisChannelLayer) -> &dyn Groups {
    layer.require_groups().expect("the layer has groups")
}

/// The members as our layer sees them.
async fn members(layer: &RedisChannelLayer, name: &str) -> Vec<String> {
    let members = groups(layer).group_channels(&group(name)).await;
    let members = members.expect("the layer works");
    members.iter().map(ToString::to_string).collect()
}

const MEMBERS: [&str; 5] = [
    "normal",
    "process.A!one",
    "process.A!two",
    "process.B!",
    "single?abc",
];

#[tokio::test]
async fn both_sides_see_and_change_the_same_members() {
    let settings = Settings::shared();
    let (ours, theirs) = (settings.ours(), settings.theirs());
    let name = group("chat");
    for (number, member) in MEMBERS.into_iter().enumerate() {
        if number % 2 == 0 {
            groups(&ours)
                .group_add(&name, &channel(member))
                .await
                .expect("added");
        } else {
            theirs.group_add("chat", member).expect("added");
        }
    }
    assert_eq!(members(&ours, "chat").await, MEMBERS);
    assert_eq!(theirs.group_channels("chat").expect("members"), MEMBERS);

    // Each ends a membership that the other began.
    theirs.group_discard("chat", MEMBERS[0]).expect("discarded");
    groups(&ours)
        .group_discard(&name, &channel(MEMBERS[1]))
        .await
        .expect("discarded");
    assert_eq!(members(&ours, "chat").await, MEMBERS[2..]);
    assert_eq!(
        theirs.group_channels("chat").expect("members"),
        MEMBERS[2..]
    );
}

#[tokio::test]
async fn what_python_sends_reaches_members_of_ours() {
    let settings = Settings::shared();
    let (ours, theirs) = (settings.ours(), settings.theirs());
    for member in MEMBERS {
        groups(&ours)
            .group_add(&group("chat"), &channel(member))
            .await
            .expect("added");
    }
    let message = message! { "text" => "hello" };
    theirs.send_group("chat", &message).expect("sent");
    let mut reached = BTreeSet::new();
    for _ in MEMBERS {
        let names = ["normal", "process.A!", "process.B!", "single?abc"].map(channel);
        let received = ours.try_receive(&names).await.expect("the layer works");
        let (member, received) = received.expect("one for each member");
        assert_eq!(received, message);
        reached.insert(member.to_string());
    }
    assert_eq!(reached, BTreeSet::from(MEMBERS.map(str::to_owned)));
}

#[tokio::test]
async fn what_we_send_reaches_members_of_python() {
    let settings = Settings::shared();
    let (ours, theirs) = (settings.ours(), settings.theirs());
    for member in MEMBERS {
        theirs.group_add("chat", member).expect("added");
    }
    let message = message! { "text" => "hello" };
    groups(&ours)
        .send_group(&group("chat"), message.clone())
        .await
        .expect("sent");
    let mut reached = BTreeSet::new();
    for _ in MEMBERS {
        let names = ["normal", "process.A!", "process.B!", "single?abc"];
        let received = theirs.try_receive(&names).expect("no exception");
        let (member, received) = received.expect("one for each member");
        assert_eq!(received, message);
        reached.insert(member);
    }
    assert_eq!(reached, BTreeSet::from(MEMBERS.map(str::to_owned)));
}

/// A process of ours and one of Python's, each with many members in one group: every member gets
/// each message once, whichever side sends.
#[tokio::test]
async fn processes_of_both_kinds_share_a_group() {
    const EACH: usize = 40;
    let settings = Settings::shared().capacity(1_000);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    let sender = settings.ours();
    let mut all = BTreeSet::new();
    for number in 0..EACH {
        let here = format!("ours.response!{number}");
        groups(&ours)
            .group_add(&group("crowd"), &channel(&here))
            .await
            .expect("added");
        let there = format!("theirs.response!{number}");
        theirs.group_add("crowd", &there).expect("added");
        all.extend([here, there]);
    }
    // A reader that is there before the messages, as a protocol server is.
    assert_eq!(look(&ours, "ours.response!").await, None);
    for (text, by_python) in [("from us", false), ("from Python", true), ("again", false)] {
        let message = message! { "text" => text };
        if by_python {
            theirs.send_group("crowd", &message).expect("sent");
        } else {
            let sent = groups(&sender)
                .send_group(&group("crowd"), message.clone())
                .await;
            sent.expect("sent");
        }
        let mut reached = BTreeSet::new();
        for _ in 0..EACH {
            let (member, received) = take(&ours, "ours.response!").await;
            assert_eq!(received, message);
            assert!(reached.insert(member.clone()), "{member} got it twice");
            let received = theirs
                .try_receive(&["theirs.response!"])
                .expect("no exception");
            let (member, received) = received.expect("one for each member");
            assert_eq!(received, message);
            assert!(reached.insert(member.clone()), "{member} got it twice");
        }
        assert_eq!(reached, all);
    }
    assert_eq!(look(&ours, "ours.response!").await, None);
    assert_eq!(theirs.try_receive(&["theirs.response!"]), Ok(None));
}

#[tokio::test]
async fn a_full_member_is_skipped_and_counted_for_both() {
    let settings = Settings::shared().capacity(1);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    theirs.group_add("pair", "full").expect("added");
    groups(&ours)
        .group_add(&group("pair"), &channel("empty"))
        .await
        .expect("added");
    theirs
        .send("full", &message! { "number" => 0 })
        .expect("there is room");
    let sent = groups(&ours)
        .send_group(&group("pair"), message! { "number" => 1 })
        .await;
    sent.expect("a full member is no error");
    let (_, received) = take(&ours, "empty").await;
    assert_eq!(received, message! { "number" => 1 });
    let received = theirs.try_receive(&["full"]).expect("no exception");
    assert_eq!(
        received,
        Some(("full".to_owned(), message! { "number" => 0 }))
    );
    assert_eq!(theirs.try_receive(&["full"]), Ok(None));
    let statistics = theirs.channel_statistics("full").expect("statistics");
    assert_eq!(statistics["channel_full_count"], 1);
}

#[tokio::test]
async fn memberships_expire_for_both_whoever_added_them() {
    let settings = Settings::shared().group_expiry(1);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    groups(&ours)
        .group_add(&group("brief"), &channel("ours"))
        .await
        .expect("added");
    theirs.group_add("brief", "theirs").expect("added");
    until("the memberships to expire for Python", || {
        theirs.group_channels("brief").expect("members").is_empty()
    })
    .await;
    // Python's clock cuts the second off, so ours says so no later.
    assert_eq!(members(&ours, "brief").await, Vec::<String>::new());

    theirs.group_add("brief", "theirs").expect("added");
    while !members(&ours, "brief").await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    ours.send(&channel("theirs"), message! {})
        .await
        .expect("the channel works on");
}

/// The specification recommends that; the original does not do it, and is not disturbed by it.
#[tokio::test]
async fn a_membership_that_an_unread_message_ended_begins_again_when_python_adds_it() {
    let settings = Settings::shared().expiry(1);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    theirs.group_add("chat", "process!gone").expect("added");
    theirs.group_add("chat", "process!other").expect("added");
    ours.send(&channel("process!gone"), message! {})
        .await
        .expect("there is room");
    let gone = async || {
        // Whoever looks at the channel after the expiry finds what has expired there.
        assert_eq!(look(&ours, "process!").await.map(|(name, _)| name), None);
        members(&ours, "chat").await == ["process!other"]
    };
    let server = RedisServer::shared();
    let body = server.command(&["LINDEX", &settings.key("process!"), "0"]);
    until("the message to expire", || {
        server.command(&["EXISTS", body.text()]).int() == 0
    })
    .await;
    within("the membership to end", async {
        while !gone().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    theirs.group_add("chat", "process!gone").expect("added");
    assert_eq!(
        members(&ours, "chat").await,
        ["process!gone", "process!other"]
    );
    let sent = groups(&ours)
        .send_group(&group("chat"), message! { "text" => "back" })
        .await;
    sent.expect("sent");
    let mut reached = BTreeSet::new();
    for _ in 0..2 {
        reached.insert(take(&ours, "process!").await.0);
    }
    assert_eq!(
        reached,
        BTreeSet::from(["process!gone", "process!other"].map(str::to_owned))
    );
}
