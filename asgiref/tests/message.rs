//! Messages: copy-on-write, order of keys, typed access, text forms, conversions.

use std::collections::HashMap;

use asgiref::{
    ByteString, Bytes, ChannelName, Error, GroupName, Map, Message, Value, ValueKind, message,
};
use proptest::prelude::*;

#[test]
fn a_clone_shares_until_one_is_changed() {
    let original = message! { "text" => "hello", "order" => 1 };
    let mut copy = original.clone();
    assert!(std::ptr::eq(original.as_map(), copy.as_map()));

    assert_eq!(copy.insert("order", 2), Some(Value::Int(1)));
    assert!(!std::ptr::eq(original.as_map(), copy.as_map()));
    assert_eq!(original.int("order").unwrap(), 1);
    assert_eq!(copy.int("order").unwrap(), 2);

    // The contents were copied, the text in them was not.
    let text = |message: &Message| message.text("text").unwrap().as_ptr();
    assert_eq!(text(&original), text(&copy));
}

#[test]
fn asking_for_what_is_not_there_copies_nothing() {
    let original = message! { "a" => 1 };
    let mut copy = original.clone();
    assert_eq!(copy.remove("b"), None);
    assert_eq!(copy.get_mut("b"), None);
    assert!(std::ptr::eq(original.as_map(), copy.as_map()));
}

#[test]
fn every_way_of_changing_leaves_the_original() {
    let original = message! { "a" => 1, "list" => [1, 2] };
    let changes: [fn(&mut Message); 4] = [
        |copy| drop(copy.remove("a")),
        |copy| *copy.get_mut("a").unwrap() = Value::Null,
        |copy| copy.extend([("b", 2)]),
        |copy| match copy.get_mut("list") {
            Some(Value::List(items)) => items.clear(),
            other => panic!("{other:?}"),
        },
    ];
    for change in changes {
        let mut copy = original.clone();
        change(&mut copy);
        assert_ne!(copy, original);
        assert_eq!(original, message! { "a" => 1, "list" => [1, 2] });
    }
}

#[test]
fn a_message_alone_in_holding_its_contents_gives_them_without_a_copy() {
    let message = message! { "a" => vec![1_u8] };
    let place = std::ptr::from_ref(message.get("a").unwrap());
    let map = message.into_map();
    assert!(std::ptr::eq(place, map.get("a").unwrap()));
}

#[test]
fn keys_keep_the_order_of_their_first_insertion() {
    let mut message = message! { "z" => 1, "a" => 2, "m" => 3 };
    message.insert("a", 4);
    message.insert("b", 5);
    message.remove("z");
    message.insert("z", 6);
    let keys: Vec<&str> = message.keys().map(|key| &**key).collect();
    assert_eq!(keys, ["a", "m", "b", "z"]);
}

#[test]
fn equality_does_not_depend_on_order() {
    assert_eq!(
        message! { "a" => 1, "b" => 2 },
        message! { "b" => 2, "a" => 1 }
    );
    assert_ne!(message! { "a" => 1 }, message! { "a" => 1, "b" => 2 });
    assert_ne!(message! { "a" => 1 }, message! { "a" => 1.0 });
    assert_ne!(message! { "a" => "x" }, message! { "a" => b"x" });
    assert_ne!(message! { "a" => () }, message! { "b" => () });
}

#[test]
fn typed_access() {
    let message = message! {
        "null" => (), "bool" => true, "int" => -1, "float" => 0.5, "bytes" => b"\xff",
        "text" => "hi", "list" => [1, 2], "map" => Map::from([("a", 1)]), "channel" => "a!b",
    };
    assert!(message.bool("bool").unwrap());
    assert_eq!(message.int("int").unwrap(), -1);
    assert_eq!(message.float("float").unwrap(), 0.5);
    assert_eq!(message.float("int").unwrap(), -1.0);
    assert_eq!(message.bytes("bytes").unwrap(), b"\xff".as_slice());
    assert_eq!(message.text("text").unwrap(), "hi");
    assert_eq!(
        message.list("list").unwrap(),
        [Value::Int(1), Value::Int(2)]
    );
    assert_eq!(message.map("map").unwrap().len(), 1);
    assert_eq!(message.channel("channel").unwrap(), "a!b");
    for absent in ["null", "none"] {
        assert_eq!(message.opt_text(absent).unwrap(), None);
        assert_eq!(message.opt_channel(absent).unwrap(), None);
        let error = message.text(absent).unwrap_err();
        assert_eq!(error.to_string(), format!("message has no key `{absent}`"));
    }
}

#[test]
fn the_wrong_type_is_an_error_that_names_the_key() {
    let message = message! { "text" => "1", "int" => 1, "bool" => true };
    for (error, expected) in [
        (
            message.int("text").unwrap_err(),
            "message key `text` is text, not an integer",
        ),
        (
            message.bytes("text").unwrap_err(),
            "message key `text` is text, not a byte string",
        ),
        (
            message.text("int").unwrap_err(),
            "message key `int` is an integer, not text",
        ),
        (
            message.bool("int").unwrap_err(),
            "message key `int` is an integer, not a boolean",
        ),
        (
            message.int("bool").unwrap_err(),
            "message key `bool` is a boolean, not an integer",
        ),
        (
            message.list("int").unwrap_err(),
            "message key `int` is an integer, not a list",
        ),
        (
            message.map("int").unwrap_err(),
            "message key `int` is an integer, not a map",
        ),
        (
            message.float("bool").unwrap_err(),
            "message key `bool` is a boolean, not a float",
        ),
    ] {
        assert!(matches!(error, Error::WrongType { .. }));
        assert_eq!(error.to_string(), expected);
    }
    assert!(message.opt_int("text").is_err());
    assert!(message.channel("int").is_err());
    let bad = message! { "reply_channel" => "no name" };
    assert!(matches!(
        bad.channel("reply_channel"),
        Err(Error::InvalidName { .. })
    ));
}

#[test]
fn conversions_into_values() {
    let name = ChannelName::from_static("a");
    let group = GroupName::from_static("g");
    for (value, expected) in [
        (Value::from(()), Value::Null),
        (Value::from(None::<i64>), Value::Null),
        (Value::from(Some("a")), Value::Text("a".into())),
        (Value::from(7_u8), Value::Int(7)),
        (Value::from(u32::MAX), Value::Int(4_294_967_295)),
        (Value::from(0.5_f32), Value::Float(0.5)),
        (
            Value::from(vec![1_u8, 2]),
            Value::Bytes(Bytes::from_static(&[1, 2])),
        ),
        (Value::from(b"ab"), Value::Bytes(Bytes::from_static(b"ab"))),
        (
            Value::from([1_u8, 2]),
            Value::List(vec![Value::Int(1), Value::Int(2)]),
        ),
        (Value::from(String::from("a")), Value::Text("a".into())),
        (Value::from(&String::from("a")), Value::Text("a".into())),
        (
            Value::from(std::borrow::Cow::Borrowed("a")),
            Value::Text("a".into()),
        ),
        (Value::from('é'), Value::Text("é".into())),
        (Value::from(&name), Value::Text("a".into())),
        (Value::from(&group), Value::Text("g".into())),
        (
            Value::from(message! { "a" => 1 }),
            Value::Map(Map::from([("a", 1)])),
        ),
    ] {
        assert_eq!(value, expected);
    }
}

#[test]
fn integers_beyond_64_bits_are_refused() {
    assert_eq!(
        Value::try_from(i64::MAX.unsigned_abs()).unwrap(),
        Value::Int(i64::MAX)
    );
    assert_eq!(Value::try_from(5_usize).unwrap(), Value::Int(5));
    assert_eq!(
        Value::try_from(i128::from(i64::MIN)).unwrap(),
        Value::Int(i64::MIN)
    );
    assert!(Value::try_from(u64::MAX).is_err());
    assert!(Value::try_from(i128::from(i64::MIN) - 1).is_err());
}

#[test]
fn messages_from_and_into_entries() {
    let message = Message::from([("a", 1), ("b", 2)]);
    assert_eq!(message, message! { "a" => 1, "b" => 2 });
    let entries: Vec<(ByteString, Value)> = message.clone().into_iter().collect();
    assert_eq!(Message::from_iter(entries), message);
    assert_eq!(Map::from(message.clone()), *message.as_map());
    let backwards: Vec<&str> = message.iter().rev().map(|(key, _)| &**key).collect();
    assert_eq!(backwards, ["b", "a"]);
}

#[test]
fn kinds() {
    let kinds = [
        (Value::Null, ValueKind::Null),
        (Value::from(true), ValueKind::Bool),
        (Value::from(1), ValueKind::Int),
        (Value::from(1.0), ValueKind::Float),
        (Value::from(b""), ValueKind::Bytes),
        (Value::from(""), ValueKind::Text),
        (Value::List(Vec::new()), ValueKind::List),
        (Value::from(Map::new()), ValueKind::Map),
    ];
    for (value, kind) in kinds {
        assert_eq!(value.kind(), kind);
    }
}

#[test]
fn a_value_is_no_larger_than_it_needs_to_be() {
    assert!(size_of::<Value>() <= 40);
}

#[test]
fn text_form() {
    let message = message! {
        "reply_channel" => "a!b", "ok" => true, "n" => (), "f" => 1.0, "body" => b"\x00a\"",
        "headers" => [[b"host", b"a\r\nb".as_slice()]], "map" => Map::from([("k", 1)]),
    };
    assert_eq!(
        message.to_string(),
        r#"{"reply_channel": "a!b", "ok": true, "n": null, "f": 1.0, "body": b"\x00a\"", "#
            .to_owned()
            + r#""headers": [[b"host", b"a\r\nb"]], "map": {"k": 1}}"#
    );
    assert_eq!(format!("{message:?}"), message.to_string());
}

/// No text form is longer than this, in bytes.
const LONGEST: usize = 1024 + 3;

#[test]
fn text_forms_of_long_texts_are_cut() {
    let long = "é".repeat(500_000);
    let message = Message::from([
        (long.clone(), Value::from(long)),
        ("b".into(), vec![0; 1_000_000].into()),
    ]);
    let text = message.to_string();
    assert!(text.len() < LONGEST);
    assert_eq!(text.matches("… (1000000 bytes)").count(), 3);
}

#[test]
fn text_forms_of_wide_nesting_are_cut() {
    let wide = |inner: &Value| Value::List(vec![inner.clone(); 20]);
    let mut value = Value::from("x".repeat(100));
    for _ in 0..4 {
        value = wide(&value);
    }
    let text = Message::from([("a", value)]).to_string();
    assert!(text.len() <= LONGEST, "{}", text.len());
    assert!(text.ends_with('…'));
}

#[test]
fn text_forms_of_deep_nesting_are_cut() {
    let mut value = Value::from(1);
    for _ in 0..500 {
        value = Value::from(Map::from([("k", value)]));
    }
    assert_eq!(
        value.to_string(),
        r#"{"k": {"k": {"k": {"k": {… 1 keys}}}}}"#
    );
}

/// Values of up to three levels.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<Vec<u8>>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..20)
                .prop_map(|entries| Value::from(Map::from_iter(entries))),
        ]
    })
}

#[derive(Clone, Debug)]
enum Change {
    Insert(u8, i64),
    Remove(u8),
    Retain(i64),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // More keys than a map searches one by one, so that both ways are taken.
    let change = prop_oneof![
        4 => (0..60_u8, any::<i64>()).prop_map(|(key, value)| Change::Insert(key, value)),
        1 => (0..60_u8).prop_map(Change::Remove),
        1 => any::<i64>().prop_map(Change::Retain),
    ];
    prop::collection::vec(change, 0..200)
}

proptest! {
    #[test]
    fn no_text_form_is_long(value in values()) {
        prop_assert!(value.to_string().len() <= LONGEST);
    }

    #[test]
    fn a_map_behaves_as_a_list_of_entries(changes in changes()) {
        let mut map = Map::new();
        let mut order: Vec<String> = Vec::new();
        let mut model: HashMap<String, i64> = HashMap::new();
        for change in changes {
            match change {
                Change::Insert(key, value) => {
                    let key = key.to_string();
                    let before = map.insert(key.clone(), value);
                    prop_assert_eq!(before, model.insert(key.clone(), value).map(Value::Int));
                    if !order.contains(&key) {
                        order.push(key);
                    }
                }
                Change::Remove(key) => {
                    let key = key.to_string();
                    prop_assert_eq!(map.remove(&key), model.remove(&key).map(Value::Int));
                    order.retain(|known| *known != key);
                }
                Change::Retain(least) => {
                    map.retain(|_, value| value.as_int().is_some_and(|value| value >= least));
                    model.retain(|_, value| *value >= least);
                    order.retain(|key| model.contains_key(key));
                }
            }
            prop_assert_eq!(map.len(), model.len());
            let entries = order.iter().map(|key| (key.as_str(), Value::Int(model[key])));
            prop_assert!(map.iter().map(|(key, value)| (&**key, value.clone())).eq(entries));
            for key in 0..60_u8 {
                let key = key.to_string();
                prop_assert_eq!(map.get(&key).and_then(Value::as_int), model.get(&key).copied());
            }
        }
    }
}
