//! Encrypted messages, and changing the key while both sides run.

use asgiref::{ChannelLayer as _, message};

use crate::interop::encryption::{self, CHANGE_OF_KEYS};
use crate::support::pair::{Settings, channel, look};

#[tokio::test]
async fn both_sides_read_what_the_other_encrypted() {
    let settings = Settings::shared().keys(&["a secret"]);
    encryption::check_both_ways(&settings.ours(), &settings.theirs()).await;
}

#[tokio::test]
async fn keys_are_changed_while_both_sides_run() {
    let plain = Settings::shared();
    for (one, other) in CHANGE_OF_KEYS {
        for (our_keys, their_keys) in [(one, other), (other, one)] {
            let ours = plain.clone().keys(our_keys).ours();
            let theirs = plain.clone().keys(their_keys).theirs();
            encryption::check_step(&ours, &theirs).await;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_skipped() {
    let plain = Settings::shared();
    let right = plain.clone().keys(&["right"]);
    let wrong = plain.clone().keys(&["wrong"]);
    let others = [&wrong.theirs(), &plain.theirs()];
    encryption::check_skipped(&right.ours(), &right.theirs(), others).await;
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
