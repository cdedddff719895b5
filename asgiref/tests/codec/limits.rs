//! What is too large or too deep, in both directions.

use asgiref::codec::{Codec, DEFAULT_LIMIT, MAX_VALUES};
use asgiref::{Error, Map, Message, Value, message};

use crate::{decode, nested, unhex};

#[test]
fn a_message_of_exactly_the_limit_is_carried() {
    // One byte for the map, two for the key, three for the length of the text.
    let message = message! { "a" => "x".repeat(994) };
    let bytes = Codec::new().limit(1_000).encode(&message).unwrap();
    assert_eq!(bytes.len(), 1_000);
    assert_eq!(
        Codec::new().limit(1_000).decode(bytes.clone()).unwrap(),
        message
    );

    let small = Codec::new().limit(999);
    for error in [
        small.encode(&message).unwrap_err(),
        small.decode(bytes).unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::MessageTooLarge {
                    size: 1_000,
                    limit: 999
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn the_name_of_the_channel_counts() {
    let channel = asgiref::ChannelName::from_static("process!local");
    let bytes = Codec::new().encode_for(&channel, &Message::new()).unwrap();
    let just = Codec::new().limit(bytes.len());
    assert!(just.encode_for(&channel, &Message::new()).is_ok());
    let less = Codec::new().limit(bytes.len() - 1);
    assert!(less.encode_for(&channel, &Message::new()).is_err());
}

#[test]
fn the_default_limit_is_as_documented() {
    let message = |size| message! { "a" => vec![0_u8; size] };
    let codec = Codec::default();
    assert!(codec.encode(&message(DEFAULT_LIMIT - 8)).is_ok());
    assert!(codec.encode(&message(DEFAULT_LIMIT - 7)).is_err());
}

/// Floats of three characters grow most, and nothing is shorter in JSON than integers of one.
#[test]
fn a_megabyte_of_json_is_carried_whatever_is_in_it() {
    const MEGABYTE: usize = 1 << 20;
    for (value, size) in [
        (Value::Float(0.5), 4),
        (0.into(), 2),
        (Value::List(Vec::new()), 3),
    ] {
        let values = vec![value; (MEGABYTE - r#"{"a":[]}"#.len() + 1) / size];
        let message = message! { "a" => values };
        let json = serde_json::to_string(&message).unwrap().len();
        assert!((MEGABYTE - size..=MEGABYTE).contains(&json), "{json}");
        let bytes = Codec::new().encode(&message).unwrap();
        assert_eq!(decode(bytes).unwrap(), message);
    }
}

#[test]
fn as_deep_as_allowed_and_no_deeper() {
    // The message itself is the first level.
    let deepest = nested(Value::MAX_DEPTH - 1);
    let mut bytes = Codec::new().encode(&deepest).unwrap().to_vec();
    assert_eq!(decode(bytes.clone()).unwrap(), deepest);

    let error = Codec::new().encode(&nested(Value::MAX_DEPTH)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "message key `a`: lists and maps are nested deeper than 128 levels"
    );
    bytes.insert(3, 0x91);
    let error = decode(bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed message at byte 130: lists and maps are nested deeper than 128 levels"
    );
}

#[test]
fn maps_count_as_lists_do() {
    let mut map = Map::new();
    for _ in 1..Value::MAX_DEPTH {
        map = Map::from_iter([("m", Value::Map(map))]);
    }
    let bytes = Codec::new().encode(&Message::from(map.clone())).unwrap();
    assert!(decode(bytes).is_ok());
    let deeper = message! { "m" => map };
    assert!(matches!(
        Codec::new().encode(&deeper).unwrap_err(),
        Error::InvalidMessage { .. }
    ));
}

#[test]
fn as_many_values_as_allowed_and_no_more() {
    let list = |items| message! { "a" => Value::List(vec![Value::Null; items]) };
    let most = list(MAX_VALUES - 1);
    let bytes = Codec::new().encode(&most).unwrap();
    assert_eq!(decode(bytes).unwrap(), most);

    let error = Codec::new().encode(&list(MAX_VALUES)).unwrap_err();
    assert!(matches!(error, Error::InvalidMessage { .. }), "{error}");
    let mut bytes = unhex("81a161dd00080000");
    bytes.resize(bytes.len() + MAX_VALUES, 0xc0);
    assert!(matches!(decode(bytes).unwrap_err(), Error::Decode { .. }));
}
