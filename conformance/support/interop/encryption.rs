//! Encrypted messages, and changing the key while both sides run.

use asgiref::{ChannelLayer, message};

use crate::support::names::{channel, look, take};
use crate::support::python::PythonLayer;

/// Both sides read what the other encrypted.
pub(crate) async fn check_both_ways(ours: &impl ChannelLayer, theirs: &PythonLayer<'_>) {
    let message = message! { "text" => "confidential £", "bytes" => vec![0xff_u8; 100_000] };
    for name in ["normal", "single?abc", "process!local"] {
        ours.send(&channel(name), message.clone())
            .await
            .expect("there is room");
        let received = theirs
            .try_receive(&[channel(name).non_local()])
            .expect("no exception");
        assert!(
            received == Some((name.to_owned(), message.clone())),
            "{name} to Python"
        );
        theirs.send(name, &message).expect("there is room");
        let received = take(ours, channel(name).non_local()).await;
        assert!(
            received == (name.to_owned(), message.clone()),
            "{name} to us"
        );
    }
}

/// The keys of one side and the other, while keys are changed as the documentation of the
/// originals tells to: the new key is added behind the old one everywhere, then moved to the
/// front, then the old one is removed.
pub(crate) const CHANGE_OF_KEYS: [(&[&str], &[&str]); 5] = [
    (&["old"], &["old", "new"]),
    (&["old", "new"], &["old", "new"]),
    (&["old", "new"], &["new", "old"]),
    (&["new", "old"], &["new", "old"]),
    (&["new"], &["new", "old"]),
];

/// Each side reads what the other sends at one step of a change of keys.
pub(crate) async fn check_step(ours: &impl ChannelLayer, theirs: &PythonLayer<'_>) {
    let message = message! { "text" => "for whoever has a key" };
    ours.send(&channel("secret"), message.clone())
        .await
        .expect("there is room");
    let received = theirs.try_receive(&["secret"]).expect("no exception");
    assert_eq!(received, Some(("secret".to_owned(), message.clone())));
    theirs.send("secret", &message).expect("there is room");
    assert_eq!(take(ours, "secret").await, ("secret".to_owned(), message));
}

/// What others encrypted with a wrong key, or not at all, is skipped.
pub(crate) async fn check_skipped(
    ours: &impl ChannelLayer,
    theirs: &PythonLayer<'_>,
    others: [&PythonLayer<'_>; 2],
) {
    for other in others {
        other
            .send("secret", &message! { "key" => "wrong or none" })
            .expect("there is room");
    }
    theirs
        .send("secret", &message! { "key" => "right" })
        .expect("there is room");
    let (_, received) = take(ours, "secret").await;
    assert_eq!(received, message! { "key" => "right" });
    assert_eq!(look(ours, "secret").await, None);
}
