use std::collections::BTreeSet;

use asgiref::message;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{client, clients, moment, name};
use crate::harness::Harness;

/// Three messages on one channel all arrive, in any order, and a receive on two channels says
/// which of them a message was sent to ([ASGI: Specification Details]). Python:
/// `test_send_recv`.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn send_receive<H: Harness>(h: &H) {
    let client = client(h).await;
    for value in ["v1", "v2", "v3"] {
        client.send("chan.one", message! { "value" => value }).await;
    }
    client.send("chan.two", message! { "value" => "v4" }).await;
    let mut values = BTreeSet::new();
    for _ in 0..3 {
        let Some((channel, message)) = client.try_receive(&["chan.one"]).await else {
            panic!("every message sent must be received, only {values:?} were");
        };
        assert_eq!(
            channel, "chan.one",
            "a message names the channel it was sent to"
        );
        values.insert(message.text("value").expect("a text was sent").to_string());
    }
    let expected = ["v1", "v2", "v3"].map(String::from).into();
    assert_eq!(values, expected, "every message is received once");
    client
        .expect(
            &["chan.one", "chan.two"],
            "chan.two",
            &message! { "value" => "v4" },
            "a receive on two channels takes from the one that has a message",
        )
        .await;
}

/// A receive on many channels finds the messages of all of them, one at a time, each under its
/// own channel's name ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn receive_on_several_channels<H: Harness>(h: &H) {
    let client = client(h).await;
    let channels = ["chan.a", "chan.b", "chan.c?x", "chan.d", "chan.e!"];
    let targets = ["chan.a", "chan.b", "chan.c?x", "chan.d", "chan.e!local"];
    for target in targets {
        client.send(target, message! { "to" => target }).await;
    }
    let mut found = BTreeSet::new();
    for _ in targets {
        let (channel, message) = client.receive(&channels).await;
        assert_eq!(
            message,
            message! { "to" => channel.as_str() },
            "a message comes with the name of the channel it was sent to"
        );
        assert!(found.insert(channel), "a message came twice: {message}");
    }
    let all = targets.map(name).into();
    assert_eq!(
        found, all,
        "a receive must find the messages of all its channels"
    );
    client
        .expect_nothing(&channels, "every message was taken")
        .await;
}

/// A receive on no channels finds nothing, and a blocking one waits: it must not fail, and not
/// take what was sent elsewhere ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn receive_empty_list<H: Harness>(h: &H) {
    let client = client(h).await;
    client.send("chan.one", message! { "value" => "v1" }).await;
    client
        .expect_nothing(&[], "no channels have no messages")
        .await;
    if let Ok(ended) = timeout(H::EXPIRY / 2, client.layer().receive(&[])).await {
        panic!("receive on no channels must wait for ever, it ended with {ended:?}");
    }
    let message = message! { "value" => "v1" };
    let rule = "a receive on no channels takes nothing";
    client
        .expect(&["chan.one"], "chan.one", &message, rule)
        .await;
}

/// `try_receive` on channels without messages returns at once and says so: without waiting for
/// the clock where time is virtual, within the step limit elsewhere ([ASGI: Specification
/// Details], `block=False`).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn try_receive_returns_at_once<H: Harness>(h: &H) {
    let client = client(h).await;
    let empty = ["never.used", "drained", "single?reader", "process!"];
    client.send("drained", message! { "value" => "v1" }).await;
    client.receive(&["drained"]).await;
    let names = empty.map(name);
    let before = Instant::now();
    for _ in 0..3 {
        let received = timeout(H::STEP_LIMIT, client.layer().try_receive(&names)).await;
        let Ok(received) = received else {
            panic!("try_receive must return at once when there is nothing, it waits");
        };
        let received = received.expect("try_receive on empty channels must succeed");
        assert_eq!(received, None, "nothing was sent on these channels");
    }
    if H::VIRTUAL_TIME {
        let waited = before.elapsed();
        assert!(
            waited.is_zero(),
            "try_receive must not wait, it waited {waited:?}"
        );
    }
}

/// `receive` on an empty channel really waits, longer than messages live, and a message sent
/// meanwhile ends the wait ([ASGI: Specification Details], `block=True`).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn receive_blocks_until_sent<H: Harness>(h: &H) {
    let [reader, writer] = clients(h).await;
    for (channel, target) in [
        ("chan.one", "chan.one"),
        ("chan.single?x", "chan.single?x"),
        ("chan.process!", "chan.process!x"),
    ] {
        let waiting = reader.clone();
        let mut wait = tokio::spawn(async move { waiting.receive(&[channel]).await });
        if let Ok(ended) = timeout(H::EXPIRY.min(H::STEP_LIMIT / 2), &mut wait).await {
            panic!("receive on the empty channel `{channel}` must wait, it ended with {ended:?}");
        }
        writer.send(target, message! { "value" => "v1" }).await;
        let (from, message) = wait.await.unwrap_or_else(|error| {
            panic!("a message sent to `{target}` must end the wait of a receive on it: {error}")
        });
        assert_eq!(from, target, "a message comes with the name of its channel");
        assert_eq!(
            message,
            message! { "value" => "v1" },
            "the message sent comes"
        );
    }
}

/// A `receive` that waits on several channels is woken by a message on any of them ([ASGI:
/// Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn receive_is_woken_by_any_channel<H: Harness>(h: &H) {
    let [reader, writer] = clients(h).await;
    let channels = ["chan.a", "chan.b?x", "chan.c!", "chan.d"];
    for target in ["chan.d", "chan.c!local", "chan.b?x", "chan.a"] {
        let sent = async {
            // Lets the receive begin; if it has not, it finds the message lying there.
            sleep(moment::<H>()).await;
            writer.send(target, message! { "to" => target }).await;
        };
        let ((from, message), ()) = tokio::join!(reader.receive(&channels), sent);
        assert_eq!(
            from, target,
            "a message on any of the channels ends the wait"
        );
        assert_eq!(
            message,
            message! { "to" => target },
            "the message sent comes"
        );
    }
}

/// A message that was received never comes again ([ASGI: Channel Semantics]).
///
/// [ASGI: Channel Semantics]: https://channels.readthedocs.io/en/1.x/asgi.html#channel-semantics
pub async fn at_most_once<H: Harness>(h: &H) {
    let [one, other] = clients(h).await;
    for (channel, target) in [("once", "once"), ("once?x", "once?x"), ("once!", "once!x")] {
        let message = message! { "value" => "x" };
        one.send(target, message.clone()).await;
        let rule = "a message is there after send";
        one.expect(&[channel], target, &message, rule).await;
        for client in [&one, &other] {
            let rule = "a message must never be delivered more than once";
            client.expect_nothing(&[channel], rule).await;
        }
    }
}

/// What one client sends, another receives, whatever the kind of channel: channels belong to the
/// layer, not to a connection ([ASGI: Overview]).
///
/// [ASGI: Overview]: https://channels.readthedocs.io/en/1.x/asgi.html#overview
pub async fn clients_share_channels<H: Harness>(h: &H) {
    let [writer, reader] = clients(h).await;
    for (channel, target) in [
        ("shared", "shared"),
        ("shared?x", "shared?x"),
        ("shared!", "shared!x"),
    ] {
        let message = message! { "to" => target };
        writer.send(target, message.clone()).await;
        let rule = "a message sent by one client is received by another";
        reader.expect(&[channel], target, &message, rule).await;
    }
}
