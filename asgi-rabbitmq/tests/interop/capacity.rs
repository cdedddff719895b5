//! Capacity and expiry, which both sides count alike.

use asgiref::{ChannelLayer as _, Error, message};

use crate::support::broker::Broker;
use crate::support::pair::{Settings, channel, look, take};
use crate::support::topology::Topology;
use crate::support::until;

/// In seconds: long enough for two connections to be made beside other tests.
const EXPIRY: u64 = 4;

#[tokio::test]
async fn a_channel_that_one_side_filled_is_full_for_the_other() {
    let settings = Settings::shared().capacity(3);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    let name = channel("busy");
    for number in 0..3 {
        ours.send(&name, message! { "number" => number })
            .await
            .expect("there is room");
    }
    let message = message! { "number" => 3 };
    let refused = theirs.send("busy", &message).expect_err("it is full");
    assert_eq!(refused.class, "ChannelFull");
    // Room that one side makes is room for the other.
    theirs
        .try_receive(&["busy"])
        .expect("no exception")
        .expect("there are three");
    theirs.send("busy", &message).expect("there is room");
    let refused = ours
        .send(&name, message.clone())
        .await
        .expect_err("it is full");
    assert!(
        matches!(&refused, Error::ChannelFull { channel } if *channel == name),
        "{refused}"
    );
    take(&ours, "busy").await;
    theirs.send("busy", &message).expect("there is room");
}

#[tokio::test]
async fn capacity_is_counted_up_to_the_exclamation_mark() {
    let settings = Settings::shared().capacity(2);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    ours.send(&channel("process!a"), message! {})
        .await
        .expect("there is room");
    theirs
        .send("process!b", &message! {})
        .expect("there is room");
    let refused = ours.send(&channel("process!c"), message! {}).await;
    assert!(
        matches!(refused, Err(Error::ChannelFull { .. })),
        "{refused:?}"
    );
    assert!(theirs.send("process!d", &message! {}).is_err());
    theirs
        .send("other!a", &message! {})
        .expect("another process has room of its own");
}

#[tokio::test]
async fn messages_expire_for_both_whoever_sent_them() {
    let settings = Settings::shared().expiry(EXPIRY);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    ours.send(&channel("to.python"), message! {})
        .await
        .expect("there is room");
    theirs.send("to.us", &message! {}).expect("there is room");
    let messages = |name: &str| {
        let topology = Topology::of(Broker::shared(), settings.virtual_host());
        topology.messages(name)
    };
    assert_eq!((messages("to.python"), messages("to.us")), (1, 1));
    until("the messages to expire", || {
        (messages("to.python"), messages("to.us")) == (0, 0)
    })
    .await;
    assert_eq!(theirs.try_receive(&["to.python"]), Ok(None));
    assert_eq!(look(&ours, "to.us").await, None);
}

#[tokio::test]
async fn what_has_expired_takes_no_room() {
    let settings = Settings::shared().expiry(EXPIRY).capacity(2);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    let old = message! { "age" => "old" };
    for _ in 0..2 {
        theirs.send("busy", &old).expect("there is room");
    }
    let refused = ours.send(&channel("busy"), old.clone()).await;
    assert!(matches!(refused, Err(Error::ChannelFull { .. })));
    until("the messages to expire", || {
        Topology::of(Broker::shared(), settings.virtual_host()).messages("busy") == 0
    })
    .await;
    let new = message! { "age" => "new" };
    ours.send(&channel("busy"), new.clone())
        .await
        .expect("there is room");
    assert_eq!(take(&ours, "busy").await, ("busy".to_owned(), new));
}
