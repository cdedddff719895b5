use std::collections::BTreeSet;

use asgiref::{Error, Extension, Message, message};
use tokio::time::{Instant, sleep};

use crate::client::{Client, capacity as declared_capacity, chain, client, clients, needs};
use crate::harness::Harness;
use crate::outcome::Skipped;

/// A channel takes as many messages as its capacity says and refuses the next with
/// [`ChannelFull`](asgiref::Error::ChannelFull) ([ASGI: Capacity]). Python: `test_capacity`.
///
/// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
pub async fn capacity<H: Harness>(h: &H) -> Result<(), Skipped> {
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    for target in ["chan.cap", "chan.cap?x"] {
        fill(&client, capacity, |_| target.to_owned()).await;
        expect_full(&client, target, "a channel at capacity refuses a message").await;
    }
    Ok(())
}

/// All channels of a process share one capacity, counted on the name up to `!` ([ASGI:
/// Capacity]). Python: `test_capacity_process`.
///
/// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
pub async fn capacity_process<H: Harness>(h: &H) -> Result<(), Skipped> {
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    fill(&client, capacity, |i| format!("chanp!{i}")).await;
    let rule = "the capacity of a process-specific channel is counted up to the `!`";
    expect_full(&client, "chanp!final", rule).await;
    Ok(())
}

/// A full channel takes nothing from the capacity of another ([ASGI: Capacity]).
///
/// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
pub async fn capacity_is_per_channel<H: Harness>(h: &H) -> Result<(), Skipped> {
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    fill(&client, capacity, |_| "capx".to_owned()).await;
    fill(&client, capacity, |i| format!("capx!{i}")).await;
    for other in ["capy", "capx.y", "capx?y", "capy!0"] {
        client.send(other, message! { "k" => "w" }).await;
    }
    Ok(())
}

/// Capacity is about messages that wait: after one is received, one more fits ([ASGI: Capacity]).
///
/// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
pub async fn capacity_recovers_after_receive<H: Harness>(h: &H) -> Result<(), Skipped> {
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    for (channel, target) in [("capr", "capr"), ("capr!", "capr!x")] {
        fill(&client, capacity, |_| target.to_owned()).await;
        expect_full(&client, target, "a channel at capacity refuses a message").await;
        client.receive(&[channel]).await;
        client.send(target, message! { "k" => "w" }).await;
        let rule = "one message received makes room for one, not for two";
        expect_full(&client, target, rule).await;
        client.drain(&[channel]).await;
        fill(&client, capacity, |_| target.to_owned()).await;
    }
    Ok(())
}

/// Writers that send at the same time fill a channel to its capacity and no further, and what was
/// accepted is what can be received ([ASGI: Capacity]).
///
/// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
pub async fn capacity_holds_for_concurrent_senders<H: Harness>(h: &H) -> Result<(), Skipped> {
    let capacity = declared_capacity::<H>()?;
    let writers: [Client<H>; 4] = clients(h).await;
    let reader = writers[0].clone();
    let sending = writers.map(|client| {
        tokio::spawn(async move {
            let mut accepted = 0;
            for _ in 0..capacity {
                match client.try_send("capc", message! { "k" => "w" }).await {
                    Ok(()) => accepted += 1,
                    Err(error) => assert_full(&error, "capc", "only a full channel refuses"),
                }
            }
            accepted
        })
    });
    let mut accepted = 0;
    for writer in sending {
        accepted += writer
            .await
            .unwrap_or_else(|error| panic!("several writers may send at once: {error}"));
    }
    let rule = "several writers together must not exceed the capacity, nor stay below it";
    assert_eq!(accepted, capacity, "{rule}");
    let received = reader.drain(&["capc"]).await.len();
    assert_eq!(received, accepted, "what was accepted can be received");
    Ok(())
}

/// A full channel is told by an error of its own, which names the part that the capacity is
/// counted on ([ASGI: Specification Details]). Python: `test_exceptions`.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn channel_full_names_the_channel<H: Harness>(h: &H) -> Result<(), Skipped> {
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    for (target, named) in [("full", "full"), ("full?x", "full?x"), ("full!x", "full!")] {
        fill(&client, capacity, |_| target.to_owned()).await;
        match client.try_send(target, message! { "k" => "w" }).await {
            Err(Error::ChannelFull { channel }) => {
                assert_eq!(channel, named, "ChannelFull names what is full");
            }
            other => panic!("a full channel must give ChannelFull, not {other:?}"),
        }
    }
    Ok(())
}

/// What was refused is not delivered, and what was accepted before still is ([ASGI: Capacity]).
///
/// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
pub async fn refused_messages_are_not_delivered<H: Harness>(h: &H) -> Result<(), Skipped> {
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    fill(&client, capacity, |_| "cap!x".to_owned()).await;
    for _ in 0..3 {
        expect_full(&client, "cap!y", "a channel at capacity refuses a message").await;
    }
    let received = client.drain(&["cap!"]).await;
    let accepted: Vec<_> = (0..capacity).map(numbered).collect();
    let received: Vec<_> = received.into_iter().map(|(_, message)| message).collect();
    assert_eq!(
        received, accepted,
        "the accepted messages come, the refused do not"
    );
    Ok(())
}

/// A send never waits, not even for room: a full channel refuses at once ([ASGI: Channel
/// Semantics]).
///
/// [ASGI: Channel Semantics]: https://channels.readthedocs.io/en/1.x/asgi.html#channel-semantics
pub async fn send_never_blocks<H: Harness>(h: &H) {
    let client = client(h).await;
    let before = Instant::now();
    for _ in 0..=H::CAPACITY.unwrap_or(100) {
        match client
            .try_send("never.blocks", message! { "k" => "w" })
            .await
        {
            Ok(()) | Err(Error::ChannelFull { .. }) => {}
            Err(error) => panic!("send succeeds or gives ChannelFull: {}", chain(&error)),
        }
    }
    if H::VIRTUAL_TIME {
        let waited = before.elapsed();
        assert!(waited.is_zero(), "send must not wait, it waited {waited:?}");
    }
}

/// A channel full of expired messages is empty, although nobody looked at it ([ASGI: Channels and
/// Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn expired_messages_do_not_hold_capacity<H: Harness>(h: &H) -> Result<(), Skipped> {
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    for target in ["cape", "cape!x"] {
        fill(&client, capacity, |_| target.to_owned()).await;
    }
    sleep(H::EXPIRY + H::EXPIRY_MARGIN).await;
    for target in ["cape", "cape!y"] {
        fill(&client, capacity, |_| target.to_owned()).await;
        let rule = "a channel that was filled again is full";
        expect_full(&client, target, rule).await;
    }
    Ok(())
}

/// Messages expire one by one: newer ones do not keep the room of older ones occupied ([ASGI:
/// Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn old_messages_do_not_hold_capacity<H: Harness>(h: &H) -> Result<(), Skipped> {
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    // Longer than half of the expiry, shorter than the expiry.
    let pause = (H::EXPIRY + H::EXPIRY_MARGIN) / 2;
    fill(&client, capacity - 1, |_| "capo".to_owned()).await;
    sleep(pause).await;
    client.send("capo", message! { "k" => "newer" }).await;
    sleep(pause).await;
    fill(&client, capacity - 1, |_| "capo".to_owned()).await;
    let rule = "the newer message has not expired and holds its room";
    expect_full(&client, "capo", rule).await;
    Ok(())
}

/// Sending to a group never gives `ChannelFull`, however often ([ASGI: Capacity]). Python:
/// `test_capacity_group`.
///
/// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
pub async fn capacity_group<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    client.group_add("grp.c", "mem.c").await;
    for i in 0..=capacity {
        client.send_group("grp.c", numbered(i)).await;
    }
    let received = client.drain(&["mem.c"]).await;
    let rule = "a group send fills a member to its capacity and drops the rest";
    assert_eq!(received.len(), capacity, "{rule}");
    Ok(())
}

/// Members of a group at one process share its capacity; those that find it used up miss the
/// message, the others get it once ([ASGI: Capacity]).
///
/// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
pub async fn capacity_group_process<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    for i in 0..capacity + 2 {
        client.group_add("grp.c", &format!("mem!{i}")).await;
    }
    client.send_group("grp.c", message! { "k" => "w" }).await;
    let received = client.drain(&["mem!"]).await;
    let members: BTreeSet<_> = received.iter().map(|(channel, _)| channel).collect();
    let rule = "members at one process share its capacity";
    assert_eq!(received.len(), capacity, "{rule}: {members:?}");
    assert_eq!(
        members.len(),
        capacity,
        "no member gets two copies: {members:?}"
    );
    Ok(())
}

/// A full member misses the message, and nobody else does ([ASGI: Capacity]).
///
/// [ASGI: Capacity]: https://channels.readthedocs.io/en/1.x/asgi.html#capacity
pub async fn group_send_drops_only_full_members<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let capacity = declared_capacity::<H>()?;
    let client = client(h).await;
    for member in ["gd0", "gd1", "gd2", "gd!a"] {
        client.group_add("gd", member).await;
    }
    fill(&client, capacity, |_| "gd1".to_owned()).await;
    let sent = message! { "value" => "x" };
    client.send_group("gd", sent.clone()).await;
    for (channel, member) in [("gd0", "gd0"), ("gd2", "gd2"), ("gd!", "gd!a")] {
        let rule = "members with room get the message";
        client.expect(&[channel], member, &sent, rule).await;
    }
    let received = client.drain(&["gd1"]).await;
    let rule = "a full member keeps what it had and misses the message";
    assert_eq!(received.len(), capacity, "{rule}");
    assert!(
        received.iter().all(|(_, message)| *message != sent),
        "{rule}"
    );
    Ok(())
}

fn numbered(i: usize) -> Message {
    message! { "i" => i as i64 }
}

/// Sends `count` messages, numbered, all of which must be accepted.
async fn fill<H: Harness>(client: &Client<H>, count: usize, target: impl Fn(usize) -> String) {
    for i in 0..count {
        let target = target(i);
        if let Err(error) = client.try_send(&target, numbered(i)).await {
            panic!(
                "there is room for {count} messages, number {} to `{target}` failed: {}",
                i + 1,
                chain(&error)
            );
        }
    }
}

async fn expect_full<H: Harness>(client: &Client<H>, target: &str, rule: &str) {
    match client
        .try_send(target, message! { "k" => "too many" })
        .await
    {
        Ok(()) => panic!("{rule}: send to `{target}` was accepted"),
        Err(error) => assert_full(&error, target, rule),
    }
}

fn assert_full(error: &Error, target: &str, rule: &str) {
    assert!(
        error.is_channel_full(),
        "{rule}: send to `{target}` must give ChannelFull, not: {}",
        chain(error)
    );
}
