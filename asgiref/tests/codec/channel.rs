//! The name of a process-specific channel that travels with the message.

use asgiref::codec::{CHANNEL_KEY, Codec};
use asgiref::{ChannelName, Error, Message, message};

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

#[test]
fn only_process_specific_names_travel_along() {
    let codec = Codec::new();
    let message = message! { "a" => 1 };
    for (to, queue) in [
        ("normal", "normal"),
        ("single?reader", "single?reader"),
        ("process!local", "process!"),
        ("process!", "process!"),
    ] {
        let bytes = codec.encode_for(&channel(to), &message).unwrap();
        let named = codec
            .decode(bytes.clone())
            .unwrap()
            .contains_key(CHANNEL_KEY);
        assert_eq!(named, to.contains('!'), "{to}");
        let (from, received) = codec.decode_with_channel(&channel(queue), bytes).unwrap();
        assert_eq!((from.as_str(), &received), (to, &message));
    }
}

#[test]
fn a_message_without_a_name_came_to_the_queue_itself() {
    let codec = Codec::new();
    let bytes = codec.encode(&message! { "a" => 1 }).unwrap();
    let (from, _) = codec
        .decode_with_channel(&channel("process!"), bytes)
        .unwrap();
    assert_eq!(from, "process!");
}

#[test]
fn the_key_is_reserved() {
    let codec = Codec::new();
    let message = message! { "a" => 1, "__asgi_channel__" => "process!other" };
    for to in ["normal", "process!local"] {
        let error = codec.encode_for(&channel(to), &message).unwrap_err();
        assert_eq!(
            error.to_string(),
            "message key `__asgi_channel__`: the key is reserved for channel layers"
        );
    }
    assert!(codec.encode(&message).is_err());
    // Further in it is a key like any other.
    let inside = message! { "a" => message! { "__asgi_channel__" => 1 } };
    let bytes = codec.encode(&inside).unwrap();
    assert_eq!(codec.decode(bytes).unwrap(), inside);
}

#[test]
fn a_name_that_does_not_belong_to_the_queue_is_refused() {
    let codec = Codec::new();
    let refused = |queue: &str, bytes| {
        codec
            .decode_with_channel(&channel(queue), bytes)
            .unwrap_err()
    };
    let bytes = codec
        .encode_for(&channel("process!local"), &Message::new())
        .unwrap();
    for queue in ["other!", "process", "single?reader"] {
        assert!(
            matches!(refused(queue, bytes.clone()), Error::InvalidMessage { .. }),
            "{queue}"
        );
    }
    let mut forged = vec![0x81, 0xb0];
    forged.extend(CHANNEL_KEY.as_bytes());
    for (value, queue) in [
        ("a670726f636573", "proces"),
        ("05", "process!"),
        ("c0", "process!"),
    ] {
        let bytes = [forged.clone(), crate::unhex(value)].concat();
        assert!(
            matches!(refused(queue, bytes.into()), Error::InvalidMessage { .. }),
            "{value}"
        );
    }
    let bytes = [forged, b"\xa9process!?".to_vec()].concat();
    assert!(matches!(
        refused("process!", bytes.into()),
        Error::InvalidName { .. }
    ));
}
