use std::collections::{BTreeMap, BTreeSet};

use asgiref::{ChannelName, Extension, Message, message};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep};

use crate::client::{Client, bounded, client, clients, moment, name, needs, window};
use crate::harness::Harness;
use crate::outcome::Skipped;

/// A message sent to a group reaches its members, and not one that was discarded ([ASGI:
/// Groups]). Python: `test_groups`.
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
pub async fn groups<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    for member in ["mem.1", "mem.2", "mem.3"] {
        client.group_add("grp.a", member).await;
    }
    client.group_discard("grp.a", "mem.3").await;
    let message = message! { "value" => "v5" };
    client.send_group("grp.a", message.clone()).await;
    for member in ["mem.1", "mem.2"] {
        let rule = "every member of a group gets the message";
        client.expect(&[member], member, &message, rule).await;
        let rule = "a member gets one copy of the message";
        client.expect_nothing(&[member], rule).await;
    }
    let rule = "a discarded member gets nothing";
    client.expect_nothing(&["mem.3"], rule).await;
    Ok(())
}

/// Members at one process each get the message, under their own full names, once ([ASGI:
/// Groups]). Python: `test_groups_process`, which would be content with one name twice.
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
pub async fn groups_process<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    for member in ["grpl!m1", "grpl!m2", "grpl!m3", "other!m1"] {
        client.group_add("grp.a", member).await;
    }
    client.group_discard("grp.a", "grpl!m2").await;
    let message = message! { "value" => "v5" };
    client.send_group("grp.a", message.clone()).await;
    for (channel, members) in [
        ("grpl!", ["grpl!m1", "grpl!m3"].as_slice()),
        ("other!", &["other!m1"]),
    ] {
        expect_once_each(&client, channel, members, &message).await;
    }
    Ok(())
}

/// The members of a group are those that were added and not discarded, as soon as the call
/// returns ([ASGI: Specification Details]). Python: `test_group_channels`.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn group_channels<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    let rule = "a caller sees its own adds and discards at once";
    let members = ["mem.1", "mem.2", "mem.3!x", "mem.3!y", "mem.4?z"];
    for count in 1..=members.len() {
        client.group_add("grp.a", members[count - 1]).await;
        client
            .expect_members("grp.a", &members[..count], rule)
            .await;
    }
    for count in (0..members.len()).rev() {
        client.group_discard("grp.a", members[count]).await;
        client
            .expect_members("grp.a", &members[..count], rule)
            .await;
    }
    Ok(())
}

/// A channel in two groups gets the messages of both, one in neither gets none, and leaving one
/// group leaves the other alone ([ASGI: Groups]).
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
pub async fn groups_are_separate<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    for (group, member) in [("one", "both"), ("one", "first"), ("two", "both")] {
        client.group_add(group, member).await;
    }
    for group in ["one", "two", "One"] {
        client.send_group(group, message! { "to" => group }).await;
    }
    let of_one = message! { "to" => "one" };
    let rule = "a member gets the messages of its own groups only";
    client.expect(&["first"], "first", &of_one, rule).await;
    client.expect_nothing(&["first"], rule).await;
    let received = client.drain(&["both"]).await;
    let received: BTreeSet<_> = received
        .iter()
        .map(|(_, message)| message.text("to").expect("a text was sent").to_string())
        .collect();
    let both = ["one", "two"].map(String::from).into();
    assert_eq!(
        received, both,
        "a member of two groups gets the messages of both"
    );
    client.group_discard("two", "both").await;
    let rule = "leaving a group leaves the others alone";
    client.expect_members("one", &["both", "first"], rule).await;
    Ok(())
}

/// A group and a channel of the same name have nothing to do with each other ([ASGI: Groups]).
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
pub async fn group_and_channel_may_share_a_name<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    let to_group = message! { "to" => "group" };
    let to_channel = message! { "to" => "channel" };
    client.group_add("same", "member").await;
    client.send("same", to_channel.clone()).await;
    client.send_group("same", to_group.clone()).await;
    let rule = "the channel gets what was sent to the channel";
    client.expect(&["same"], "same", &to_channel, rule).await;
    client.expect_nothing(&["same"], rule).await;
    let rule = "the group's members get what was sent to the group";
    client.expect(&["member"], "member", &to_group, rule).await;
    client.expect_nothing(&["member"], rule).await;
    Ok(())
}

/// Channels of every kind can be members, of the same group too ([ASGI: Groups]).
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
pub async fn group_members_of_every_kind<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    let made = client.new_channel("made?").await;
    let members = [
        ("normal", "normal"),
        ("single?x", "single?x"),
        (made.as_str(), made.as_str()),
        ("process!", "process!x"),
        ("whole!", "whole!"),
    ];
    for (_, member) in members {
        client.group_add("grp", member).await;
    }
    let message = message! { "value" => "x" };
    client.send_group("grp", message.clone()).await;
    for (channel, member) in members {
        let rule = "a channel of any kind can be a member";
        client.expect(&[channel], member, &message, rule).await;
    }
    Ok(())
}

/// Adding a member again is no error, and it gets one copy of each message ([ASGI: Specification
/// Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn group_add_twice_one_copy<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    for member in ["g2c", "g2c!x", "g2c", "g2c!x"] {
        client.group_add("g2", member).await;
    }
    let message = message! { "value" => "x" };
    client.send_group("g2", message.clone()).await;
    for (channel, member) in [("g2c", "g2c"), ("g2c!", "g2c!x")] {
        let rule = "a member that was added twice gets one copy";
        client.expect(&[channel], member, &message, rule).await;
        client.expect_nothing(&[channel], rule).await;
        client.group_discard("g2", member).await;
    }
    let rule = "one discard ends the membership, however often the member was added";
    client.expect_members("g2", &[], rule).await;
    Ok(())
}

/// Discarding a channel that is no member does nothing ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn discard_non_member<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    client.group_discard("nog", "noc").await;
    for member in ["c", "noc!a"] {
        client.group_add("nog", member).await;
    }
    for stranger in ["noc", "noc!", "noc!b", "c!", "C"] {
        client.group_discard("nog", stranger).await;
    }
    let rule = "discarding a channel that is no member changes nothing";
    client.expect_members("nog", &["c", "noc!a"], rule).await;
    Ok(())
}

/// A group nobody joined, or that everybody left, has no members and can be sent to ([ASGI:
/// Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn empty_group<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    let rule = "a group without members is empty";
    client.expect_members("emptyg", &[], rule).await;
    client
        .send_group("emptyg", message! { "value" => "x" })
        .await;
    client.group_add("emptyg", "member").await;
    client.group_discard("emptyg", "member").await;
    client.expect_members("emptyg", &[], rule).await;
    client
        .send_group("emptyg", message! { "value" => "x" })
        .await;
    client.expect_nothing(&["member"], rule).await;
    Ok(())
}

/// A group of a thousand members, on channels of all kinds, delivers to each of them once ([ASGI:
/// Groups]).
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
pub async fn group_of_a_thousand<H: Harness>(h: &H) -> Result<(), Skipped> {
    const READERS: usize = 8;
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    let per_process = window::<H>();
    let members: Vec<_> = (0..1_000)
        .map(|i| match i % 10 {
            0 => format!("member.{i}"),
            1 => format!("member?{i}"),
            _ => format!("member.{}!{i}", i / per_process),
        })
        .collect();
    for member in &members {
        client.group_add("crowd", member).await;
    }
    let found = client.group_channels("crowd").await.len();
    assert_eq!(found, members.len(), "all who joined are members");
    let message = message! { "value" => "x" };
    client.send_group("crowd", message.clone()).await;
    let mut missing: BTreeSet<_> = members.iter().map(|member| name(member)).collect();
    let channels: BTreeSet<_> = missing.iter().map(ChannelName::to_non_local).collect();
    // Several at a time, so that a slow layer receives a message before it expires.
    let channels: Vec<_> = channels.into_iter().collect();
    let mut readers = JoinSet::new();
    for part in channels.chunks(channels.len().div_ceil(READERS)) {
        let (part, client) = (part.to_vec(), client.clone());
        readers.spawn(async move {
            let mut all = Vec::new();
            for channel in part {
                all.extend(client.drain(&[channel.as_str()]).await);
            }
            all
        });
    }
    while let Some(received) = readers.join_next().await {
        for (member, received) in received.expect("a reader must not fail") {
            assert_eq!(
                received, message,
                "a member gets the message sent to its group"
            );
            assert!(
                missing.remove(&member),
                "{member} got the message twice, or is no member"
            );
        }
    }
    let count = missing.len();
    let first = missing.first();
    assert!(
        missing.is_empty(),
        "{count} of 1,000 members got nothing, {first:?} for one"
    );
    Ok(())
}

/// A message to a group wakes members that wait for it, like one sent to them directly ([ASGI:
/// Groups]).
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
pub async fn group_send_wakes_receivers<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let [one, two, three, writer] = clients(h).await;
    let targets = [("wake", "wake"), ("wake?x", "wake?x"), ("wake!", "wake!x")];
    for (_, member) in targets {
        writer.group_add("grp", member).await;
    }
    let waiting = [one, two, three]
        .into_iter()
        .zip(targets)
        .map(|(client, (channel, _))| tokio::spawn(async move { client.receive(&[channel]).await }))
        .collect::<Vec<_>>();
    // Lets the receives begin; one that has not finds the message lying there.
    sleep(moment::<H>()).await;
    let message = message! { "value" => "x" };
    writer.send_group("grp", message.clone()).await;
    for (waiting, (_, member)) in waiting.into_iter().zip(targets) {
        let (channel, received) = waiting.await.unwrap_or_else(|error| {
            panic!("a group message must end the wait of the member {member}: {error}")
        });
        assert_eq!((channel.as_str(), received), (member, message.clone()));
    }
    Ok(())
}

/// Groups belong to the layer: what one client adds, another's messages reach, at the latest
/// after a moment ([ASGI: Specification Details]: best effort for the adds of other nodes).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn groups_across_clients<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let [one, other] = clients(h).await;
    one.group_add("grp", "mem!one").await;
    other.group_add("grp", "mem!other").await;
    one.group_add("grp", "mem!left").await;
    other.group_discard("grp", "mem!left").await;
    let expected: BTreeSet<_> = ["mem!one", "mem!other"].map(name).into();
    for client in [&one, &other] {
        eventually::<H>(client, "grp", &expected).await;
    }
    let message = message! { "value" => "x" };
    other.send_group("grp", message.clone()).await;
    expect_once_each(&one, "mem!", &["mem!one", "mem!other"], &message).await;
    Ok(())
}

/// Members that stay get every message once while others come and go at the same time ([ASGI:
/// Groups]).
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
pub async fn group_changes_under_load<H: Harness>(h: &H) -> Result<(), Skipped> {
    const ROUNDS: i64 = 100;
    needs::<H>(Extension::Groups)?;
    let [writer, reader, changer, other_changer] = clients(h).await;
    let stays = ["stays.0", "stays.1?x", "stays.2!x"];
    for member in stays {
        writer.group_add("busy", member).await;
    }
    let changers = [(changer, "a"), (other_changer, "b")].map(|(client, who)| {
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let member = format!("passing.{who}.{}", round % 7);
                client.group_add("busy", &member).await;
                yield_now().await;
                client.group_discard("busy", &member).await;
                yield_now().await;
            }
        })
    });
    let channels = ["stays.0", "stays.1?x", "stays.2!"];
    let mut seen: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for round in 0..ROUNDS {
        writer
            .send_group("busy", message! { "round" => round })
            .await;
        for _ in stays {
            let (channel, message) = reader.receive(&channels).await;
            let round = message.int("round").expect("an integer was sent");
            let new = seen.entry(channel.to_string()).or_default().insert(round);
            assert!(new, "{channel} got message {round} twice");
        }
    }
    for changer in changers {
        changer
            .await
            .unwrap_or_else(|error| panic!("members come and go during sends: {error}"));
    }
    for member in stays {
        let count = seen.get(member).map_or(0, BTreeSet::len);
        assert_eq!(
            count as i64, ROUNDS,
            "a member that stays gets every message: {member}"
        );
    }
    writer
        .expect_members("busy", &stays, "those who left are gone")
        .await;
    Ok(())
}

/// Expects `message` once for each of `members`, all of which are received from `channel`, and no
/// more.
async fn expect_once_each<H: Harness>(
    client: &Client<H>,
    channel: &str,
    members: &[&str],
    message: &Message,
) {
    let received = client.drain(&[channel]).await;
    let mut missing: BTreeSet<_> = members.iter().copied().collect();
    for (member, received) in &received {
        assert_eq!(
            received, message,
            "a member gets the message sent to its group"
        );
        assert!(
            missing.remove(member.as_str()),
            "each member gets the message once: {member} got it twice, or is no member"
        );
    }
    assert!(
        missing.is_empty(),
        "each member gets the message: {missing:?} did not"
    );
}

/// Waits until `client` sees `expected` in `group`, for at most the step limit.
async fn eventually<H: Harness>(client: &Client<H>, group: &str, expected: &BTreeSet<ChannelName>) {
    let started = Instant::now();
    loop {
        let found = client.group_channels(group).await;
        if found == *expected {
            return;
        }
        assert!(
            started.elapsed() < H::STEP_LIMIT,
            "one client must come to see what another added: {expected:?}, it sees {found:?}"
        );
        bounded::<H, _>("a pause", sleep(moment::<H>())).await;
    }
}
