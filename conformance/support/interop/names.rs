//! Single-reader and process-specific channels, and waiting for messages.

use std::collections::BTreeSet;

use asgiref::{ChannelLayer, ChannelPattern, message};

use crate::support::names::{channel, take};
use crate::support::python::PythonLayer;
use crate::support::within;

/// Process-specific messages come with their full name.
pub(crate) async fn check_full_names(ours: &impl ChannelLayer, theirs: &PythonLayer<'_>) {
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

/// Either side can reply to a new channel of the other.
pub(crate) async fn check_new_channels(ours: &impl ChannelLayer, theirs: &PythonLayer<'_>) {
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

/// A name is not new while the other side uses it.
pub(crate) async fn check_unique_names(ours: &impl ChannelLayer, theirs: &PythonLayer<'_>) {
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

/// A receive of ours that waits gets what Python sends.
pub(crate) async fn check_waiting(ours: &impl ChannelLayer, theirs: &PythonLayer<'_>) {
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
