use asgiref::{Error, Extension, Message, Value, message};

use crate::client::{bounded, chain, client, group_name, needs};
use crate::harness::Harness;
use crate::outcome::Skipped;

/// 1 MB: what every layer has to carry.
const MEGABYTE: usize = 1 << 20;

/// What a reader takes on the small messages after a large one.
const AFTER: &str = "after a large message the channel works as before";

/// A message that is 1 MB when written as JSON is carried, whether its size comes from one text,
/// from a byte string (which JSON would need base64 for) or from many small values ([ASGI:
/// Channel Semantics]).
///
/// [ASGI: Channel Semantics]: https://channels.readthedocs.io/en/1.x/asgi.html#channel-semantics
pub async fn one_megabyte_json<H: Harness>(h: &H) {
    let client = client(h).await;
    let list: Value = (0..MEGABYTE / 8)
        .map(|i| Value::from(100_000 + i as i64))
        .collect();
    let sent = [
        // {"content": "…"}
        message! { "content" => "x".repeat(MEGABYTE - 15) },
        message! { "content" => "\u{1f612}".repeat(MEGABYTE / 4 - 4) },
        message! { "content" => vec![0xa5; MEGABYTE / 4 * 3 - 16] },
        message! { "content" => list },
    ];
    for message in sent {
        client.send("big!x", message.clone()).await;
        let Some((_, received)) = client.try_receive(&["big!"]).await else {
            panic!("a message of 1 MB as JSON must be delivered: nothing came");
        };
        // Not assert_eq: nobody wants to read two megabytes.
        assert!(
            received == message,
            "a message of 1 MB must arrive whole: {received}"
        );
    }
}

/// A larger message is carried whole or refused with
/// [`MessageTooLarge`](asgiref::Error::MessageTooLarge), which says by how much; a refused one is
/// not delivered and hinders nothing ([ASGI: Channel Semantics]).
///
/// [ASGI: Channel Semantics]: https://channels.readthedocs.io/en/1.x/asgi.html#channel-semantics
pub async fn larger_messages_are_whole_or_refused<H: Harness>(h: &H) {
    let client = client(h).await;
    for megabytes in [2, 5, 12] {
        let large = large(megabytes);
        match client.try_send("big", large.clone()).await {
            Ok(()) => match client.try_receive(&["big"]).await {
                Some((_, received)) => assert_whole(&received, &large),
                None => panic!("a message of {megabytes} MB was accepted and never came"),
            },
            Err(error) => assert_too_large(&error),
        }
        let small = message! { "value" => "small" };
        client.send("big", small.clone()).await;
        client.expect(&["big"], "big", &small, AFTER).await;
        client.expect_nothing(&["big"], AFTER).await;
    }
}

/// The same for messages to a group, which may be refused too ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn larger_group_messages_are_whole_or_refused<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    client.group_add("grp", "big").await;
    for megabytes in [2, 5] {
        let large = large(megabytes);
        let group = group_name("grp");
        let sent = client.groups().send_group(&group, large.clone());
        match bounded::<H, _>("send_group of a large message", sent).await {
            Ok(()) => match client.try_receive(&["big"]).await {
                Some((_, received)) => assert_whole(&received, &large),
                None => panic!("a message of {megabytes} MB was accepted and never came"),
            },
            Err(error) => assert_too_large(&error),
        }
        let small = message! { "value" => "small" };
        client.send_group("grp", small.clone()).await;
        client.expect(&["big"], "big", &small, AFTER).await;
        client.expect_nothing(&["big"], AFTER).await;
    }
    Ok(())
}

fn large(megabytes: usize) -> Message {
    message! { "content" => vec![b'x'; megabytes * MEGABYTE] }
}

fn assert_whole(received: &Message, sent: &Message) {
    assert!(
        received == sent,
        "an accepted message must arrive whole: {received}"
    );
}

fn assert_too_large(error: &Error) {
    match error {
        Error::MessageTooLarge { size, limit } => assert!(
            size > limit && *limit >= MEGABYTE / 4 * 3,
            "MessageTooLarge must give a size above the limit, and a limit that lets 1 MB of \
             JSON pass: size {size}, limit {limit}"
        ),
        error => panic!(
            "a large message is refused with MessageTooLarge, not: {}",
            chain(error)
        ),
    }
}
