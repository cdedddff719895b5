//! Rules that hold for any message and any bytes.

use asgiref::codec::Codec;
use asgiref::{Map, Message, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::decode;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Small numbers are where the forms change.
        any::<i16>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("not a number is not equal to itself", |float| !float
                .is_nan())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "a{30,34}|a{254,258}".prop_map(Value::from),
        vec(any::<u8>(), 0..300).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((".{0,8}", inner), 0..6).prop_map(|entries| Value::Map(Map::from_iter(entries))),
        ]
    })
}

fn message() -> impl Strategy<Value = Message> {
    vec((".{0,8}", value()), 0..8).prop_map(Message::from_iter)
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(message in message()) {
        let decoded = decode(Codec::new().encode(&message).unwrap()).unwrap();
        prop_assert_eq!(&decoded, &message);
        prop_assert!(decoded.keys().eq(message.keys()));
    }

    #[test]
    fn the_measured_size_is_the_size(message in message()) {
        let bytes = Codec::new().encode(&message).unwrap();
        prop_assert!(Codec::new().limit(bytes.len()).encode(&message).is_ok());
        prop_assert!(Codec::new().limit(bytes.len() - 1).encode(&message).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode(bytes);
    }

    #[test]
    fn any_bytes_in_a_message_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode([b"\x81\xa1a".to_vec(), bytes].concat());
    }

    #[test]
    fn altered_messages_are_read_or_refused(
        message in message(),
        alterations in vec((any::<Index>(), any::<u8>(), 0..4_u8), 1..10),
    ) {
        let mut bytes = Codec::new().encode(&message).unwrap().to_vec();
        for (at, byte, kind) in alterations {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.rotate_left(at),
            }
        }
        if let Ok(message) = decode(bytes) {
            let again = decode(Codec::new().encode(&message).unwrap()).unwrap();
            prop_assert!(again.keys().eq(message.keys()));
        }
    }
}
