//! Encrypted messages, and changing the key while both sides run.

use asgiref::{ChannelLayer, message};

use crate::support::names::{channel, look, take};
use crate::support::pair::Settings;
use crate::support::python::PythonLayer;

/// The keys of one side and the other, while keys are changed as the documentation of the
/// originals tells to: the new key is added behind the old one everywhere, then moved to the
/// front, then the old one is removed.
const CHANGE_OF_KEYS: [(&[&str], &[&str]); 5] = [
    (&["old"], &["old", "new"]),
    (&["old", "new"], &["old", "new"]),
    (&["old", "new"], &["new", "old"]),
    (&["new", "old"], &["new", "old"]),
    (&["new"], &["new", "old"]),
];

#[tokio::test]
async fn both_sides_read_what_the_other_encrypted() {
    let settings = Settings::shared().keys(&["a secret"]);
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
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

#[tokio::test]
async fn keys_are_changed_while_both_sides_run() {
    let plain = Settings::shared();
    for (one, other) in CHANGE_OF_KEYS {
        for (our_keys, their_keys) in [(one, other), (other, one)] {
            let ours = plain.clone().keys(our_keys).ours();
            let theirs = plain.clone().keys(their_keys).theirs();
            check_step(&ours, &theirs).await;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_skipped() {
    let plain = Settings::shared();
    let right = plain.clone().keys(&["right"]);
    let wrong = plain.clone().keys(&["wrong"]);
    let others = [&wrong.theirs(), &plain.theirs()];
    check_skipped(&right.ours(), &right.theirs(), others).await;
}

#[tokio::test]
async fn what_is_encrypted_is_not_for_layers_without_the_key() {
    let settings = Settings::shared();
    let keyed = settings.clone().keys(&["a secret"]);
    keyed
        .ours()
        .send(&channel("secret"), message! {})
        .await
        .expect("there is room");
    assert!(settings.theirs().try_receive(&["secret"]).is_err());
    keyed
        .theirs()
        .send("secret", &message! {})
        .expect("there is room");
    assert_eq!(look(&settings.ours(), "secret").await, None);
}

/// Each side reads what the other sends at one step of a change of keys.
async fn check_step(ours: &impl ChannelLayer, theirs: &PythonLayer<'_>) {
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
async fn check_skipped(
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
