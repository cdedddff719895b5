//! Messages in other formats, and Rust types as messages.

use std::collections::BTreeMap;
use std::fmt::Debug;

use asgiref::{Bytes, ChannelName, Error, GroupName, Map, Message, Value, message};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[test]
fn json_round_trip_keeps_the_order_of_keys() {
    let message = message! {
        "z" => (), "a" => true, "int" => i64::MIN, "float" => 0.5, "text" => "é\n",
        "list" => [1, 2], "map" => Map::from([("k", "v")]), "empty" => Value::List(Vec::new()),
    };
    let json = serde_json::to_string(&message).unwrap();
    assert_eq!(
        json,
        r#"{"z":null,"a":true,"int":-9223372036854775808,"float":0.5,"text":"é\n","#.to_owned()
            + r#""list":[1,2],"map":{"k":"v"},"empty":[]}"#
    );
    let read: Message = serde_json::from_str(&json).unwrap();
    assert_eq!(read, message);
    assert!(read.keys().eq(message.keys()));
}

#[test]
fn json_integers_beyond_64_bits_are_refused() {
    let read =
        |text: &str| serde_json::from_str::<Message>(text).map_err(|error| error.to_string());
    assert_eq!(
        read(r#"{"a": 9223372036854775807}"#).unwrap(),
        message! { "a" => i64::MAX }
    );
    let error = read(r#"{"a": 9223372036854775808}"#).unwrap_err();
    let expected = "integer 9223372036854775808 is beyond the signed 64 bits of a message";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn json_that_is_no_map_is_no_message() {
    for text in ["1", "[]", "null", "\"a\""] {
        let error = serde_json::from_str::<Message>(text)
            .unwrap_err()
            .to_string();
        assert!(error.contains("expected a map with text keys"), "{error}");
    }
}

/// What reads `text`, without the depth limit JSON's reader has of its own.
fn unlimited<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error as Plain, MapDeserializer, SeqDeserializer};

    /// A list in a list in a list: `self.0` levels.
    #[derive(Clone, Copy)]
    struct Levels(usize);

    impl<'de> serde::Deserializer<'de> for Levels {
        type Error = Plain;

        fn deserialize_any<V: serde::de::Visitor<'de>>(
            self,
            visitor: V,
        ) -> Result<V::Value, Plain> {
            match self.0 {
                0 => visitor.visit_unit(),
                levels => visitor.visit_seq(SeqDeserializer::new([Self(levels - 1)].into_iter())),
            }
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map struct enum
            identifier ignored_any
        }
    }

    impl<'de> IntoDeserializer<'de, Plain> for Levels {
        type Deserializer = Self;

        fn into_deserializer(self) -> Self {
            self
        }
    }

    let levels = Levels(text.len());
    T::deserialize(MapDeserializer::new([("a", levels)].into_iter()))
        .map_err(|error: Plain| error.to_string())
}

#[test]
fn nesting_from_outside_is_limited() {
    let levels = |depth: usize| unlimited::<Message>(&" ".repeat(depth));
    // The message is the first level.
    assert!(levels(Value::MAX_DEPTH - 1).is_ok());
    assert_eq!(
        levels(Value::MAX_DEPTH).unwrap_err(),
        "nested more than 128 deep"
    );
    assert!(levels(1_000_000).is_err());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    small: u8,
    large: u64,
    negative: i16,
    ratio: f32,
    letter: char,
    text: String,
    body: Bytes,
    channel: ChannelName,
    group: GroupName,
    some: Option<u16>,
    none: Option<u16>,
    unit: (),
    pair: (i32, String),
    array: [u8; 3],
    list: Vec<Inner>,
    map: BTreeMap<String, i64>,
    newtype: Wrapped,
    kinds: Vec<Kind>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    x: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(Inner);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(i64),
    Tuple(i64, bool),
    Struct { x: Inner },
}

fn everything() -> Everything {
    Everything {
        flag: true,
        small: 255,
        large: i64::MAX.unsigned_abs(),
        negative: -7,
        ratio: 0.5,
        letter: 'é',
        text: "text".into(),
        body: Bytes::from_static(b"\x00\xff"),
        channel: ChannelName::from_static("a!b"),
        group: GroupName::from_static("g"),
        some: Some(3),
        none: None,
        unit: (),
        pair: (-1, "b".into()),
        array: [1, 2, 3],
        list: vec![Inner { x: 1 }, Inner { x: 2 }],
        map: BTreeMap::from([("k".into(), 1)]),
        newtype: Wrapped(Inner { x: 9 }),
        kinds: vec![
            Kind::Unit,
            Kind::Newtype(1),
            Kind::Tuple(2, true),
            Kind::Struct { x: Inner { x: 3 } },
        ],
        rest: BTreeMap::from([("more".into(), Value::from([1, 2]))]),
    }
}

#[test]
fn a_struct_is_a_message_and_comes_back() {
    let message = Message::from_serialize(&everything()).unwrap();
    assert_eq!(message.bytes("body").unwrap(), b"\x00\xff".as_slice());
    assert_eq!(
        message.list("more").unwrap(),
        [Value::Int(1), Value::Int(2)]
    );
    assert_eq!(
        message.list("kinds").unwrap(),
        [
            Value::from("Unit"),
            Map::from([("Newtype", 1)]).into(),
            Map::from([("Tuple", [Value::from(2), true.into()])]).into(),
            Map::from([("Struct", Map::from([("x", Map::from([("x", 3)]))]))]).into(),
        ]
    );
    assert_eq!(message.deserialize::<Everything>().unwrap(), everything());
}

#[test]
fn a_message_of_messages_is_itself() {
    let message = message! { "a" => b"bytes", "b" => [1, 2], "c" => message! { "d" => () } };
    assert_eq!(Message::from_serialize(&message).unwrap(), message);
    assert_eq!(message.deserialize::<Message>().unwrap(), message);
}

#[test]
fn borrowed_types_are_messages_too() {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        text: &'a str,
        list: &'a [i64],
    }
    let message = Message::from_serialize(&Borrowed {
        text: "a",
        list: &[1],
    })
    .unwrap();
    assert_eq!(message, message! { "text" => "a", "list" => [1] });
    let pairs = BTreeMap::from([("a", 1)]);
    assert_eq!(
        Message::from_serialize(&pairs).unwrap(),
        message! { "a" => 1 }
    );
}

#[test]
fn a_list_of_bytes_may_come_as_a_byte_string() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Body {
        body: Vec<u8>,
    }
    let expected = Body { body: vec![1, 2] };
    assert_eq!(
        message! { "body" => vec![1_u8, 2] }
            .deserialize::<Body>()
            .unwrap(),
        expected
    );
    assert_eq!(
        message! { "body" => [1, 2] }.deserialize::<Body>().unwrap(),
        expected
    );
}

#[test]
fn whole_numbers_are_read_as_floats_but_not_the_other_way_round() {
    #[derive(Debug, Deserialize)]
    struct Ratio {
        ratio: f64,
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the type counts")]
    struct Count {
        count: i64,
    }
    assert_eq!(
        message! { "ratio" => 2 }
            .deserialize::<Ratio>()
            .unwrap()
            .ratio,
        2.0
    );
    assert!(message! { "count" => 2.0 }.deserialize::<Count>().is_err());
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(message: &Message, expected: &str) {
    assert_eq!(
        message.deserialize::<T>().unwrap_err().to_string(),
        expected
    );
}

#[test]
fn errors_name_the_key_however_deep_it_is() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the types count")]
    struct Outer {
        list: Vec<Inner>,
        kind: Option<Kind>,
    }
    let with = |item: Message| message! { "list" => [Message::from([("x", 1)]), item] };
    refused::<Outer>(&message! {}, "message has no key `list`");
    refused::<Outer>(&with(message! {}), "message has no key `list.1.x`");
    refused::<Outer>(
        &with(message! { "x" => "1" }),
        "message key `list.1.x`: invalid type: string \"1\", expected i64",
    );
    let kind = |kind: Value| message! { "list" => Value::List(Vec::new()), "kind" => kind };
    refused::<Outer>(
        &kind("Other".into()),
        "message key `kind`: unknown variant `Other`, expected one of `Unit`, `Newtype`, `Tuple`, `Struct`",
    );
    refused::<Outer>(
        &kind("Newtype".into()),
        "message key `kind`: invalid type: unit variant, expected a newtype variant",
    );
    refused::<Outer>(
        &kind(Map::from([("Newtype", "a")]).into()),
        "message key `kind.Newtype`: invalid type: string \"a\", expected i64",
    );
    refused::<Outer>(
        &kind(Map::from([("Unit", ()), ("Tuple", ())]).into()),
        "message key `kind`: invalid length 2, expected a map from a variant's name to its content",
    );
    refused::<u32>(
        &message! {},
        "message cannot be converted: invalid type: map, expected u32",
    );
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the type counts")]
    struct Pair {
        pair: (i64, i64),
    }
    refused::<Pair>(
        &message! { "pair" => [1, 2, 3] },
        "message key `pair`: invalid length 3, expected a list of 2 items",
    );
}

#[test]
fn what_a_message_cannot_hold_is_refused() {
    let refused = |error: Result<Message, Error>, expected: &str| {
        assert_eq!(error.unwrap_err().to_string(), expected);
    };
    refused(
        Message::from_serialize(&BTreeMap::from([("a", [1, u64::MAX])])),
        "message key `a.1`: integer 18446744073709551615 is beyond the signed 64 bits of a message",
    );
    refused(
        Message::from_serialize(&BTreeMap::from([("a", BTreeMap::from([(1, 2)]))])),
        "message key `a`: the key of a map is an integer, not text",
    );
    refused(
        Message::from_serialize(&[1]),
        "message cannot be converted: a message is a map, and this is a list",
    );
    refused(
        Message::from_serialize(&None::<Inner>),
        "message cannot be converted: a message is a map, and this is null",
    );
}

#[test]
fn nesting_of_converted_values_is_limited() {
    let nested = |levels: usize| {
        let mut value = Value::Null;
        for _ in 0..levels {
            value = Value::List(vec![value]);
        }
        Message::from([("a", value)])
    };
    let fits = nested(Value::MAX_DEPTH - 1);
    assert_eq!(Message::from_serialize(&fits).unwrap(), fits);
    assert_eq!(fits.deserialize::<Message>().unwrap(), fits);
    let deeper = nested(Value::MAX_DEPTH);
    for error in [
        Message::from_serialize(&deeper),
        deeper.deserialize::<Message>(),
    ] {
        assert!(
            error
                .unwrap_err()
                .to_string()
                .ends_with("nested more than 128 deep")
        );
    }
}

#[test]
fn names_are_checked_when_they_are_read() {
    assert_eq!(
        serde_json::to_string(&ChannelName::from_static("a!b")).unwrap(),
        "\"a!b\""
    );
    assert_eq!(
        serde_json::from_str::<ChannelName>("\"a!b\"").unwrap(),
        "a!b"
    );
    let error = serde_json::from_str::<GroupName>("\"a!b\"")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("invalid group name \"a!b\""), "{error}");
}

/// Values JSON can express, of up to three levels.
fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Halves: the JSON reader gives other fractions back to the last bit but one.
        any::<i32>().prop_map(|halves| Value::from(f64::from(halves) / 2.0)),
        ".{0,10}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 40, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((".{0,10}", inner), 0..8)
                .prop_map(|entries| Value::from(Map::from_iter(entries))),
        ]
    })
}

proptest! {
    #[test]
    fn json_round_trip(value in json_values()) {
        let json = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
    }

    #[test]
    fn conversion_round_trip(value in json_values()) {
        let message = Message::from([("value", value)]);
        prop_assert_eq!(Message::from_serialize(&message).unwrap(), message.clone());
        prop_assert_eq!(message.deserialize::<Message>().unwrap(), message);
    }
}
