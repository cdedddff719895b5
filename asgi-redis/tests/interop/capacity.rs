//! Capacity and expiry, which both sides count alike.

use asgiref::{ChannelLayer as _, Error, message};

use crate::support::pair::{Settings, channel, look, take};
use crate::support::server::RedisServer;
use crate::support::{until, within};

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
async fn patterns_give_channels_capacities_of_their_own() {
    let settings = Settings::shared()
        .capacity(1)
        .channel_capacity("daphne.response.*!", 3);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    ours.send(&channel("daphne.response.abc!a"), message! {})
        .await
        .expect("room for 3");
    theirs
        .send("daphne.response.abc!b", &message! {})
        .expect("room for 3");
    ours.send(&channel("daphne.response.abc!c"), message! {})
        .await
        .expect("room for 3");
    let refused = ours
        .send(&channel("daphne.response.abc!d"), message! {})
        .await;
    assert!(
        matches!(refused, Err(Error::ChannelFull { .. })),
        "{refused:?}"
    );
    ours.send(&channel("http.request"), message! {})
        .await
        .expect("room for 1");
    let refused = ours.send(&channel("http.request"), message! {}).await;
    assert!(
        matches!(refused, Err(Error::ChannelFull { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn messages_expire_for_both_whoever_sent_them() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]).expiry(1);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    ours.send(&channel("to.python"), message! {})
        .await
        .expect("there is room");
    theirs.send("to.us", &message! {}).expect("there is room");
    // Bodies, and lists of names; the server removes what expired on its own.
    assert_eq!(server.keys(&settings.key("[^:]*")).len(), 4);
    until("the bodies to expire", || {
        server.keys(&settings.key("[^:]*")).len() <= 2
    })
    .await;
    assert_eq!(theirs.try_receive(&["to.python"]), Ok(None));
    assert_eq!(look(&ours, "to.us").await, None);
    until("nothing to be left", || {
        server.keys(&settings.key("[^:]*")).is_empty()
    })
    .await;
}

/// Python counts what has expired until the list goes; we do not, although it is Python's.
#[tokio::test]
async fn what_has_expired_takes_no_room_from_us() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]).expiry(2).capacity(2);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    let old = message! { "age" => "old" };
    theirs.send("busy", &old).expect("there is room");
    theirs.send("busy", &old).expect("there is room");
    let list = settings.key("busy");
    // The list lives for a second more.
    until("the bodies to expire", || {
        server.keys(&settings.key("[^:]*")) == [&*list]
    })
    .await;
    let new = message! { "age" => "new" };
    ours.send(&channel("busy"), new.clone())
        .await
        .expect("there is room");
    assert_eq!(take(&ours, "busy").await, ("busy".to_owned(), new));
    assert_eq!(look(&ours, "busy").await, None);
}

#[tokio::test]
async fn what_is_left_of_python_s_messages_does_not_hide_newer_ones() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]).expiry(60);
    let theirs = settings.theirs();
    for number in 0..50 {
        theirs
            .send("busy", &message! { "number" => number })
            .expect("there is room");
    }
    // All bodies but the last are gone.
    let list = settings.key("busy");
    let references = server.command(&["LRANGE", &list, "0", "-2"]);
    let mut deletion = vec!["DEL"];
    deletion.extend(references.texts());
    assert_eq!(server.command(&deletion).int(), 49);
    let ours = settings.ours();
    let received = within("try_receive", ours.try_receive(&[channel("busy")])).await;
    let (_, message) = received.expect("the layer works").expect("one is there");
    assert_eq!(message, message! { "number" => 49 });
}

#[tokio::test]
async fn bodies_live_as_long_as_python_s_and_lists_a_second_more() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]).expiry(7);
    let ours = settings.ours();
    ours.send(&channel("somewhere"), message! {})
        .await
        .expect("there is room");
    let list = settings.key("somewhere");
    let body = server.command(&["LINDEX", &list, "0"]);
    let left = server.command(&["PTTL", body.text()]).int();
    assert!((6_000..=7_000).contains(&left), "{left} ms");
    let left = server.command(&["PTTL", &list]).int();
    assert!((7_000..=8_000).contains(&left), "{left} ms");
}
