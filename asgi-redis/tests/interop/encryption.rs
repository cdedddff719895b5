//! Encrypted messages, and changing the key while both sides run.

use asgiref::{ChannelLayer as _, message};

use crate::support::pair::{Settings, channel, look, take};

#[tokio::test]
async fn both_sides_read_what_the_other_encrypted() {
    let settings = Settings::shared().keys(["a secret"]);
    let (ours, theirs) = (settings.ours(), settings.theirs());
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
        let received = take(&ours, channel(name).non_local()).await;
        assert!(
            received == (name.to_owned(), message.clone()),
            "{name} to us"
        );
    }
}

/// As the documentation of the original tells to: the new key is added behind the old one
/// everywhere, then moved to the front, then the old one is removed.
#[tokio::test]
async fn keys_are_changed_while_both_sides_run() {
    let plain = Settings::shared();
    let steps: [(&[&str], &[&str]); 5] = [
        (&["old"], &["old", "new"]),
        (&["old", "new"], &["old", "new"]),
        (&["old", "new"], &["new", "old"]),
        (&["new", "old"], &["new", "old"]),
        (&["new"], &["new", "old"]),
    ];
    let with = |keys: &[&str]| match keys {
        [one] => plain.clone().keys([*one]),
        [one, two] => plain.clone().keys([*one, *two]),
        _ => panic!("one or two keys"),
    };
    for (one, other) in steps {
        for (our_keys, their_keys) in [(one, other), (other, one)] {
            let ours = with(our_keys).ours();
            let theirs = with(their_keys).theirs();
            let message = message! { "keys" => format!("{our_keys:?} {their_keys:?}") };
            ours.send(&channel("secret"), message.clone())
                .await
                .expect("there is room");
            let received = theirs.try_receive(&["secret"]).expect("no exception");
            assert_eq!(received, Some(("secret".to_owned(), message.clone())));
            theirs.send("secret", &message).expect("there is room");
            assert_eq!(take(&ours, "secret").await, ("secret".to_owned(), message));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_skipped() {
    let settings = Settings::shared();
    let keyed = settings.clone().keys(["right"]);
    let ours = keyed.ours();
    let foreign = settings.clone().keys(["wrong"]).theirs();
    let open = settings.theirs();
    foreign
        .send("secret", &message! { "key" => "wrong" })
        .expect("there is room");
    open.send("secret", &message! { "key" => "none" })
        .expect("there is room");
    keyed
        .theirs()
        .send("secret", &message! { "key" => "right" })
        .expect("there is room");
    let (_, received) = take(&ours, "secret").await;
    assert_eq!(received, message! { "key" => "right" });
    assert_eq!(look(&ours, "secret").await, None);
}

#[tokio::test]
async fn what_is_encrypted_is_not_for_layers_without_the_key() {
    let settings = Settings::shared();
    let keyed = settings.clone().keys(["a secret"]);
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
