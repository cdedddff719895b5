//! Single-reader and process-specific channels, and waiting for messages.

use std::collections::BTreeSet;

use asgiref::{ChannelLayer, ChannelPattern, message};

use crate::support::names::{channel, take};
use crate::support::pair::Settings;
use crate::support::within;

#[tokio::test]
async fn process_specific_messages_come_with_their_full_name() {
    let settings = Settings::shared();
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
    let names = [
        "daphne.response.AbC!one",
        "daphne.response.AbC!two",
        "daphne.response.AbC!",
    ];
    for name in names {
        let message = message! { "for" => name };
        ours.send(&channel(name), message.clone())
            .await
            .expect("there is room");
        let received = theirs
            .try_receive(&["daphne.response.AbC!"])
            .expect("no exception");
        assert_eq!(received, Some((name.to_owned(), message.clone())));

        theirs.send(name, &message).expect("there is room");
        let received = take(ours, "daphne.response.AbC!").await;
        assert_eq!(received, (name.to_owned(), message));
    }
}

#[tokio::test]
async fn either_side_can_reply_to_a_new_channel_of_the_other() {
    let settings = Settings::shared();
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
    let name = theirs.new_channel("http.request.body?").expect("a name");
    let message = message! { "content" => b"upload" };
    ours.send(&channel(&name), message.clone())
        .await
        .expect("there is room");
    let received = theirs.try_receive(&[&name]).expect("no exception");
    assert_eq!(received, Some((name, message.clone())));

    let pattern = ChannelPattern::new("http.request.body?").expect("a pattern");
    let name = ours.new_channel(&pattern).await.expect("a name");
    theirs.send(name.as_str(), &message).expect("there is room");
    assert_eq!(take(ours, name.as_str()).await, (name.to_string(), message));
}

#[tokio::test]
async fn a_name_is_not_new_while_the_other_side_uses_it() {
    let settings = Settings::shared();
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
    let pattern = ChannelPattern::new("unique?").expect("a pattern");
    let mut names = BTreeSet::new();
    for _ in 0..50 {
        names.insert(
            ours.new_channel(&pattern)
                .await
                .expect("a name")
                .to_string(),
        );
        names.insert(theirs.new_channel("unique?").expect("a name"));
    }
    assert_eq!(names.len(), 100);
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("unique?") && name.len() > "unique?".len())
    );
}

#[tokio::test]
async fn a_receive_of_ours_that_waits_gets_what_python_sends() {
    let settings = Settings::shared();
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
    let names = ["normal", "single?reader", "process!"].map(channel);
    for (sent_to, message) in [
        ("normal", message! { "kind" => "normal" }),
        ("single?reader", message! { "kind" => "single" }),
        ("process!local", message! { "kind" => "process" }),
    ] {
        let received = {
            let receive = ours.receive(&names);
            tokio::pin!(receive);
            // Nothing is there, so it waits.
            let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut receive);
            assert!(early.await.is_err());
            theirs.send(sent_to, &message).expect("there is room");
            within("the message", receive)
                .await
                .expect("the layer works")
        };
        assert_eq!(received, (channel(sent_to), message));
    }
}
