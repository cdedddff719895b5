//! The codec with encryption.
#![cfg(feature = "encryption")]

use std::time::Duration;

use asgiref::codec::Codec;
use asgiref::crypto::Encryption;
use asgiref::{Bytes, ChannelName, Error, message};

fn codec(secrets: &[&str]) -> Codec {
    Codec::new().encryption(Encryption::new(secrets, Duration::from_secs(60)).unwrap())
}

#[test]
fn what_one_process_encrypts_another_reads_while_secrets_change() {
    let channel = ChannelName::from_static("process!local");
    let queue = channel.to_non_local();
    let message = message! { "text" => "attack at dawn" };
    let bytes = codec(&["old"]).encode_for(&channel, &message).unwrap();
    assert!(bytes.is_ascii());
    for secrets in [["old", "new"], ["new", "old"]] {
        let received = codec(&secrets)
            .decode_with_channel(&queue, bytes.clone())
            .unwrap();
        assert_eq!(received, (channel.clone(), message.clone()));
    }
    for other in [codec(&["new"]), Codec::new()] {
        assert!(other.decode(bytes.clone()).is_err());
    }
    let plain = Codec::new().encode(&message).unwrap();
    assert!(matches!(
        codec(&["old"]).decode(plain).unwrap_err(),
        Error::Decrypt { .. }
    ));
}

#[test]
fn the_limit_is_that_of_the_plain_bytes() {
    let message = message! { "a" => "x".repeat(994) };
    let bytes = codec(&["a"]).limit(1_000).encode(&message).unwrap();
    assert_eq!(
        codec(&["a"]).limit(1_000).decode(bytes.clone()).unwrap(),
        message
    );
    let small = codec(&["a"]).limit(900);
    let error = small.encode(&message).unwrap_err();
    assert!(
        matches!(
            error,
            Error::MessageTooLarge {
                size: 1_000,
                limit: 900
            }
        ),
        "{error}"
    );
    let error = small.decode(bytes).unwrap_err();
    assert!(matches!(error, Error::MessageTooLarge { .. }), "{error}");
}

#[test]
fn what_is_well_encrypted_but_no_message_is_refused() {
    let encryption = Encryption::new(["a"], Duration::from_secs(60)).unwrap();
    let token = encryption.encrypt(b"no message");
    let codec = Codec::new().encryption(encryption);
    assert!(matches!(
        codec.decode(token).unwrap_err(),
        Error::Decode { .. }
    ));
    assert!(matches!(
        codec.decode(Bytes::new()).unwrap_err(),
        Error::Decrypt { .. }
    ));
}
