//! Replies that do not come, come late, or come when nobody waits any more.

use std::time::Duration;

use asgiref::{ChannelLayer as _, ChannelLayerExt as _, Error, message};

use crate::stage::Stage;
use crate::support::pair::{channel, group, look, take};
use crate::support::{until, within};

/// The server has done what it was asked, and only the answer is missing. A second send would be
/// a second message.
#[tokio::test]
async fn a_send_whose_reply_is_lost_is_not_repeated() {
    let stage = Stage::set();
    let sender = stage.sender();
    let name = channel("once");
    sender
        .send(&channel("warm.up"), message! {})
        .await
        .expect("there is room");
    for (number, name) in [(1, &name), (2, &channel("once?more"))] {
        stage.to_sender.hold_replies();
        let send = sender.send(name, message! { "number" => number });
        let (sent, ()) = within("send", async {
            tokio::join!(send, async {
                until("the message to be there", || {
                    stage.waiting(name.as_str()) == 1
                })
                .await;
                stage.to_sender.cut();
                stage.to_sender.pass();
            })
        })
        .await;
        let error = sent.expect_err("nobody knows whether it was sent");
        assert!(matches!(error, Error::Backend { .. }), "{error:?}");
        // The layer works again, and whatever it repeated would come first.
        let again = message! { "number" => 0 };
        within("send", sender.send(name, again))
            .await
            .expect("there is room");
        assert_eq!(stage.waiting(name.as_str()), 2);
    }
}

#[tokio::test]
async fn a_receive_whose_reply_is_lost_delivers_nothing_twice() {
    let stage = Stage::set();
    let (sender, receiver) = (stage.sender(), stage.receiver());
    let name = channel("once");
    sender
        .send(&name, message! { "number" => 0 })
        .await
        .expect("there is room");
    take(&receiver, "once").await;

    let mut received = Vec::new();
    stage.to_receiver.hold_replies();
    for number in 1..=5 {
        sender
            .send(&name, message! { "number" => number })
            .await
            .expect("there is room");
    }
    {
        let names = [name.clone()];
        let receive = receiver.receive(&names);
        tokio::pin!(receive);
        let taken = until("messages to be taken", || stage.waiting("once") < 5);
        tokio::select! {
            () = taken => {}
            early = &mut receive => panic!("without a reply of the server: {early:?}"),
        }
        stage.to_receiver.cut();
        stage.to_receiver.pass();
        sender
            .send(&name, message! { "number" => 6 })
            .await
            .expect("there is room");
        let (_, message) = within("a message", receive).await.expect("the layer works");
        received.push(message.int("number").expect("a number"));
    }
    while received.last() != Some(&6) {
        let (_, message) = take(&receiver, "once").await;
        received.push(message.int("number").expect("a number"));
    }
    assert!(
        received.is_sorted_by(|one, next| one < next),
        "{received:?}"
    );
    assert_eq!(look(&receiver, "once").await, None);
}

/// Replies that come after all, on a connection the layer has not yet given up.
#[tokio::test]
async fn a_late_reply_is_as_good_as_any() {
    let stage = Stage::set();
    let (sender, receiver) = (stage.sender(), stage.receiver());
    let name = channel("late");
    assert_eq!(look(&receiver, "late").await, None);
    stage.to_receiver.hold_replies();
    let names = [name.clone()];
    let receive = receiver.receive(&names);
    tokio::pin!(receive);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut receive)
            .await
            .is_err()
    );
    sender
        .send(&name, message! { "number" => 1 })
        .await
        .expect("there is room");
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut receive)
            .await
            .is_err()
    );
    stage.to_receiver.pass();
    let (_, message) = within("the message", receive)
        .await
        .expect("the layer works");
    assert_eq!(message, message! { "number" => 1 });
}

/// Members that got it would get it twice.
#[tokio::test]
async fn a_group_send_whose_reply_is_lost_is_not_repeated() {
    let stage = Stage::set();
    let sender = stage.sender();
    let groups = sender.require_groups().expect("the layer has groups");
    for member in ["one", "two", "process!three"] {
        groups
            .group_add(&group("chat"), &channel(member))
            .await
            .expect("added");
    }
    groups
        .send_group(&group("empty"), message! {})
        .await
        .expect("sent");
    // The members are asked for first, so that is the reply that must arrive.
    stage.to_sender.delay(Duration::from_millis(100));
    let chat = group("chat");
    let send = groups.send_group(&chat, message! { "number" => 1 });
    let (sent, ()) = within("send", async {
        tokio::join!(send, async {
            until("the messages to be there", || stage.waiting("one") == 1).await;
            stage.to_sender.cut();
            stage.to_sender.pass();
        })
    })
    .await;
    let error = sent.expect_err("nobody knows whether it was sent");
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
    let again = within("send", groups.send_group(&chat, message! { "number" => 2 })).await;
    again.expect("the layer works again");
    for member in ["one", "two", "process!"] {
        assert_eq!(stage.waiting(member), 2, "{member}");
    }
}

/// Their replies come nevertheless, and are nobody else's.
#[tokio::test]
async fn operations_that_are_given_up_do_not_disturb_others() {
    const ROUNDS: i64 = 300;
    let stage = Stage::set();
    let sender = stage.sender();
    let settings = stage.settings.clone();
    let groups = sender.require_groups().expect("the layer has groups");
    for number in 0..20 {
        let name = group(&format!("group-{number}"));
        let member = channel(&format!("member-{number}"));
        groups.group_add(&name, &member).await.expect("added");
    }
    stage.to_sender.delay(Duration::from_millis(2));
    let name = channel("given.up");
    let given_up = async {
        let mut accepted = 0;
        for number in 0..ROUNDS {
            let send = sender.send(&name, message! { "number" => number });
            let patience = Duration::from_micros(rand::random_range(0..8_000));
            if let Ok(sent) = tokio::time::timeout(patience, send).await {
                match sent {
                    Ok(()) => accepted += 1,
                    Err(Error::ChannelFull { .. }) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        accepted
    };
    let undisturbed = async {
        for round in 0..200 {
            let number = round % 20;
            let name = group(&format!("group-{number}"));
            let members = groups.group_channels(&name).await.expect("members");
            let member = channel(&format!("member-{number}"));
            assert!(members.iter().eq([&member]), "{members:?} of {name}");
        }
    };
    let (accepted, ()) = within("both", async { tokio::join!(given_up, undisturbed) }).await;
    stage.to_sender.pass();
    sender
        .send(&channel("end"), message! {})
        .await
        .expect("there is room");
    let receiver = settings.ours();
    let mut received = Vec::new();
    while let Some((_, message)) = look(&receiver, "given.up").await {
        received.push(message.int("number").expect("a number"));
    }
    assert!(
        received.is_sorted_by(|one, next| one < next),
        "{received:?}"
    );
    assert!(
        received.len() >= accepted,
        "{} of {accepted}",
        received.len()
    );
}
