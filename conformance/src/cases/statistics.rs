use std::time::Duration;

use asgiref::{Extension, message};
use tokio::time::{Instant, sleep};

use crate::client::{Client, capacity, client, needs};
use crate::harness::Harness;
use crate::outcome::Skipped;

/// A channel's figures count what was accepted and what waits; a channel never used has none
/// ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn statistics_of_a_channel<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Statistics)?;
    let client = client(h).await;
    for channel in ["stat", "stat?x"] {
        expect_counts(&client, channel, 0, 0).await;
        for sent in 1..=3 {
            client.send(channel, message! { "k" => "w" }).await;
            expect_counts(&client, channel, sent, sent).await;
        }
        client.receive(&[channel]).await;
        expect_counts(&client, channel, 3, 2).await;
        client.drain(&[channel]).await;
        expect_counts(&client, channel, 3, 0).await;
    }
    expect_counts(&client, "other", 0, 0).await;
    Ok(())
}

/// The channels of a process are counted together, on the name up to `!`, where their capacity is
/// counted too ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn statistics_of_process_specific_channels<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Statistics)?;
    let client = client(h).await;
    for target in ["stat!a", "stat!b", "stat!a"] {
        client.send(target, message! { "k" => "w" }).await;
    }
    client.receive(&["stat!"]).await;
    for channel in ["stat!", "stat!a", "stat!b", "stat!never"] {
        expect_counts(&client, channel, 3, 2).await;
    }
    expect_counts(&client, "stat", 0, 0).await;
    Ok(())
}

/// `messages_max_age` is how long the oldest message has been waiting, zero if none waits ([ASGI:
/// Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn statistics_max_age<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Statistics)?;
    let client = client(h).await;
    let max_age = async || client.channel_statistics("aged").await.messages_max_age;
    let pause = H::EXPIRY / 4;
    assert_eq!(
        max_age().await,
        Duration::ZERO,
        "nothing waits, nothing has an age"
    );
    let before_first = Instant::now();
    client.send("aged", message! { "i" => 1 }).await;
    sleep(pause).await;
    let before_second = Instant::now();
    client.send("aged", message! { "i" => 2 }).await;
    sleep(pause).await;
    let age = max_age().await;
    expect_age::<H>(
        age,
        2 * pause,
        before_first.elapsed(),
        "the first of two messages",
    );
    let global = client.global_statistics().await.messages_max_age;
    let rule = "the oldest message of all channels";
    expect_age::<H>(global, 2 * pause, before_first.elapsed(), rule);
    // On a normal channel of several servers either of the two may come first.
    let (_, received) = client.receive(&["aged"]).await;
    let (least, since, which) = match received.int("i") {
        Ok(1) => (pause, before_second, "the second message, alone now"),
        _ => (2 * pause, before_first, "the first message, alone now"),
    };
    expect_age::<H>(max_age().await, least, since.elapsed(), which);
    client.receive(&["aged"]).await;
    assert_eq!(
        max_age().await,
        Duration::ZERO,
        "nothing waits, nothing has an age"
    );
    Ok(())
}

/// `channel_full_count` counts what was refused because the channel was full, and what full
/// members of groups missed; `messages_count` does not ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn statistics_of_full_channels<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Statistics)?;
    let capacity = capacity::<H>()?;
    let client = client(h).await;
    let mut full = 3;
    for _ in 0..capacity + full {
        // The last three are refused, which the figures tell.
        let _ = client.try_send("full", message! { "k" => "w" }).await;
    }
    if H::EXTENSIONS.contains(&Extension::Groups) {
        client.group_add("grp", "full").await;
        client.send_group("grp", message! { "k" => "w" }).await;
        full += 1;
    }
    let figures = client.channel_statistics("full").await;
    let rule = "every message a full channel did not take is counted as such";
    assert_eq!(figures.channel_full_count, full as u64, "{rule}");
    let rule = "what a full channel did not take is not a message";
    assert_eq!(figures.messages_count, capacity as u64, "{rule}");
    assert_eq!(figures.messages_pending, capacity as u64, "{rule}");
    let global = client.global_statistics().await.channel_full_count;
    assert_eq!(
        global, full as u64,
        "the global figures are the sums of the channels'"
    );
    Ok(())
}

/// The figures per second tell what happened in the last second, and return to zero ([ASGI:
/// Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn statistics_per_second<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Statistics)?;
    let client = client(h).await;
    for i in 0..3 {
        client.send("rate", message! { "i" => i }).await;
    }
    let mut most = (0, 0);
    // The three may fall into two seconds, and be told when the second is over.
    for _ in 0..25 {
        let channel = client.channel_statistics("rate").await;
        let global = client.global_statistics().await;
        most.0 = most.0.max(channel.messages_count_per_second);
        most.1 = most.1.max(global.messages_count_per_second);
        sleep(Duration::from_millis(100)).await;
    }
    let rule = "of three messages, one to three are told as those of the last second";
    assert!(
        (1..=3).contains(&most.0),
        "{rule}: {} on the channel",
        most.0
    );
    assert!((1..=3).contains(&most.1), "{rule}: {} in all", most.1);
    let channel = client
        .channel_statistics("rate")
        .await
        .messages_count_per_second;
    let global = client.global_statistics().await.messages_count_per_second;
    assert_eq!(
        (channel, global),
        (0, 0),
        "after two quiet seconds the rate is zero"
    );
    Ok(())
}

/// The global figures are the sums over all channels ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn statistics_global<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Statistics)?;
    let client = client(h).await;
    let expect = async |sent: u64, pending: u64| {
        let figures = client.global_statistics().await;
        assert_eq!(
            (figures.messages_count, figures.messages_pending),
            (sent, pending),
            "the global figures (messages_count, messages_pending) are sums over all channels"
        );
    };
    expect(0, 0).await;
    for target in ["one", "two", "two", "three?x", "four!a", "four!b"] {
        client.send(target, message! { "k" => "w" }).await;
    }
    expect(6, 6).await;
    client.receive(&["two"]).await;
    client.receive(&["four!"]).await;
    expect(6, 4).await;
    if H::EXTENSIONS.contains(&Extension::Groups) {
        for member in ["one", "four!a"] {
            client.group_add("grp", member).await;
        }
        client.send_group("grp", message! { "k" => "w" }).await;
        expect(8, 6).await;
    }
    Ok(())
}

/// Expired messages are not waiting any more, although nobody looked ([ASGI: Specification
/// Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn expired_messages_are_not_pending<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Statistics)?;
    let client = client(h).await;
    for target in ["exp", "exp!x"] {
        client.send(target, message! { "k" => "w" }).await;
    }
    sleep(H::EXPIRY + H::EXPIRY_MARGIN).await;
    let rule = "an expired message does not wait any more";
    for channel in ["exp", "exp!"] {
        let figures = client.channel_statistics(channel).await;
        assert_eq!(figures.messages_pending, 0, "{rule}");
        assert_eq!(figures.messages_max_age, Duration::ZERO, "{rule}");
    }
    assert_eq!(
        client.global_statistics().await.messages_pending,
        0,
        "{rule}"
    );
    Ok(())
}

async fn expect_counts<H: Harness>(client: &Client<H>, channel: &str, sent: u64, pending: u64) {
    let figures = client.channel_statistics(channel).await;
    assert_eq!(
        (figures.messages_count, figures.messages_pending),
        (sent, pending),
        "`{channel}` has this many messages sent and waiting (messages_count, messages_pending)"
    );
}

/// The layer looked at the age between the two times; its clock may be coarse.
fn expect_age<H: Harness>(age: Duration, least: Duration, most: Duration, whose: &str) {
    let range = least.saturating_sub(H::EXPIRY_MARGIN)..=most + H::EXPIRY_MARGIN;
    assert!(
        range.contains(&age),
        "messages_max_age is the age of {whose}: {least:?} to {most:?}, not {age:?}"
    );
}
