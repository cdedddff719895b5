//! Queues that others delete, declare in another way or fill with what nobody expects there.

use asgiref::{ChannelLayer as _, Error, Message, message};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::stage::Stage;
use crate::support::amqp::{long_text, table};
use crate::support::pair::{channel, look, take};
use crate::support::{until, within};
use crate::traffic::IN_FLIGHT;

#[tokio::test]
async fn a_queue_may_be_deleted_under_its_consumer() {
    const ROUNDS: usize = 5;
    let stage = Stage::set();
    let client = stage.client().await;
    let traffic = stage.traffic().await;
    for _ in 0..ROUNDS {
        client.delete_queue("traffic").await;
        traffic.expect_flowing().await;
    }
    let record = traffic.finish().await;
    record.expect_lost_at_most(ROUNDS * IN_FLIGHT);
}

/// Nothing happens there but that the queue goes.
#[tokio::test]
async fn a_queue_may_be_deleted_under_a_receiver_that_waits() {
    let stage = Stage::set();
    let client = stage.client().await;
    let (sender, receiver) = (stage.sender(), stage.receiver());
    for (name, sent_to) in [
        ("normal", "normal"),
        ("single?abc", "single?abc"),
        ("process!", "process!local"),
    ] {
        let waiting = receiver.clone();
        let waits = tokio::spawn(async move { take(&waiting, name).await });
        until("the queue to be there", || {
            stage.topology().queues.contains_key(name)
        })
        .await;
        client.delete_queue(name).await;
        let message = message! { "text" => "after it" };
        sender
            .send(&channel(sent_to), message.clone())
            .await
            .expect("there is room");
        let received = within("the message", waits).await.expect("no panic");
        assert_eq!(received, (sent_to.to_owned(), message));
    }
}

/// As another process does that has another expiry. The AMQP channel ends, and with it nothing
/// else.
#[tokio::test]
async fn a_queue_with_other_arguments_is_refused_and_disturbs_no_other() {
    let stage = Stage::set();
    let client = stage.client().await;
    let arguments = table([("x-expires", AMQPValue::LongInt(60_000))]);
    client.declare_queue("odd", arguments).await;
    let traffic = stage.traffic().await;
    let (sender, receiver) = (stage.sender(), stage.receiver());
    for _ in 0..5 {
        let refused = within("send", sender.send(&channel("odd"), message! {})).await;
        let Err(Error::Backend { source, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(source.to_string().contains("406"), "{source}");
        let refused = within("receive", receiver.receive(&[channel("odd")])).await;
        assert!(refused.is_err(), "{refused:?}");
        let message = message! { "text" => "elsewhere" };
        sender
            .send(&channel("even"), message.clone())
            .await
            .expect("there is room");
        assert_eq!(take(&receiver, "even").await.1, message);
    }
    let record = traffic.finish().await;
    record.expect_no_errors();
    record.expect_lost_at_most(0);
}

/// The broker keeps names that begin with `amq.` to itself.
#[tokio::test]
async fn a_name_the_broker_reserves_is_refused_and_disturbs_no_other() {
    let stage = Stage::set();
    let traffic = stage.traffic().await;
    let sender = stage.sender();
    let refused = within("send", sender.send(&channel("amq.mine"), message! {})).await;
    let Err(Error::Backend { source, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(source.to_string().contains("403"), "{source}");
    sender
        .send(&channel("mine"), message! {})
        .await
        .expect("there is room");
    let record = traffic.finish().await;
    record.expect_no_errors();
}

/// What is taken together with it is not lost.
#[tokio::test]
async fn what_is_no_message_is_skipped_and_counted() {
    let stage = Stage::set();
    let client = stage.client().await;
    let (sender, receiver) = (stage.sender(), stage.receiver());
    let name = channel("mixed");
    let send = async |message: Message| {
        let sent = sender.send(&name, message).await;
        sent.expect("there is room");
    };
    let mut poisoned = 0;
    for (number, body) in [
        &b""[..],
        b"\xc1",
        b"\x93\x01\x02\x03",
        b"no message",
        b"\x81\xa1a",
        &[0xdf; 100_000],
    ]
    .into_iter()
    .enumerate()
    {
        let before = message! { "number" => i64::try_from(number).expect("small") };
        let after = message! { "after" => true };
        send(before.clone()).await;
        for properties in odd_properties() {
            client.put("mixed", body, properties).await;
            poisoned += 1;
        }
        until("all to be there", || {
            stage.topology().messages("mixed") >= 4
        })
        .await;
        send(after.clone()).await;
        assert_eq!(take(&receiver, "mixed").await.1, before);
        assert_eq!(take(&receiver, "mixed").await.1, after);
    }
    assert_eq!(look(&receiver, "mixed").await, None);
    assert_eq!(receiver.figures().poisoned, poisoned);
}

fn odd_properties() -> [BasicProperties; 3] {
    let plain = BasicProperties::default();
    let number = table([("asgi_channel", AMQPValue::LongInt(7))]);
    [
        plain.clone(),
        plain.clone().with_headers(FieldTable::default()),
        plain
            .with_headers(number)
            .with_delivery_mode(2)
            .with_content_type("text/plain".into()),
    ]
}

/// With a local part that could not be one there is no name.
#[tokio::test]
async fn messages_for_names_that_cannot_be_are_skipped() {
    let stage = Stage::set();
    let client = stage.client().await;
    let (sender, receiver) = (stage.sender(), stage.receiver());
    assert_eq!(look(&receiver, "process!").await, None);
    let long = "x".repeat(500);
    let impossible = ["two!marks", "a?b", "\u{a3}", "white space", &long];
    for local in impossible {
        let headers = table([("asgi_channel", long_text(local))]);
        let properties = BasicProperties::default().with_headers(headers);
        client.put("process!", b"\x80", properties).await;
    }
    let message = message! { "text" => "sound" };
    sender
        .send(&channel("process!sound"), message.clone())
        .await
        .expect("there is room");
    let received = take(&receiver, "process!").await;
    assert_eq!(received, ("process!sound".to_owned(), message));
    assert_eq!(receiver.figures().poisoned, impossible.len() as u64);
}
