//! Every value a message may hold.

use asgiref::{ChannelLayer, Map, Message, Value, message};
use serde_json::json;

use crate::support::names::{channel, look, take};
use crate::support::pair::Settings;

/// One message for each kind of value, by name.
fn messages() -> Vec<(&'static str, Message)> {
    let integers = [
        0,
        1,
        -1,
        -32,
        -33,
        127,
        128,
        -128,
        -129,
        255,
        256,
        65_535,
        65_536,
        -32_769,
        i64::from(u32::MAX),
        i64::from(u32::MAX) + 1,
        i64::from(i32::MIN) - 1,
        i64::MAX,
        i64::MIN,
    ];
    let floats = [
        0.0,
        0.5,
        -2.75,
        0.1,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    let lengths = [31, 32, 255, 256, 65_535, 65_536];
    let texts: Vec<Value> = lengths.map(|length| "x".repeat(length).into()).into();
    let byte_strings: Vec<Value> = lengths.map(|length| vec![0xfe_u8; length].into()).into();
    let many: Map = (0..70_000)
        .map(|n: i64| (n.to_string(), Value::Int(n)))
        .collect();
    let mut deep = Value::from("the bottom");
    // The way to Python takes three levels for each.
    for _ in 0..30 {
        deep = Value::from(vec![deep]);
    }
    vec![
        ("nothing", message! {}),
        ("null", message! { "value" => Value::Null }),
        ("booleans", message! { "yes" => true, "no" => false }),
        ("integers", message! { "values" => Value::from(integers) }),
        ("floats", message! { "values" => Value::from(floats) }),
        (
            "text",
            message! { "empty" => "", "nul" => "a\0b", "£" => "£ 😒 \u{10ffff}" },
        ),
        ("texts", message! { "values" => texts }),
        (
            "bytes",
            message! { "empty" => b"", "no text" => b"\xff\xfe\x00\xc2", "text" => b"abc" },
        ),
        ("byte strings", message! { "values" => byte_strings }),
        (
            "lists",
            message! { "empty" => Value::List(Vec::new()), "mixed" => vec![
                Value::Int(1), Value::from("one"), Value::from(b"one"), Value::Null,
                Value::from([Value::from([1, 2]), Value::List(Vec::new())]),
            ] },
        ),
        ("maps", message! { "empty" => Map::new(), "many" => many }),
        ("depth", message! { "value" => deep }),
        (
            "a megabyte",
            message! { "content" => vec![b'x'; 1_000_000] },
        ),
    ]
}

#[tokio::test]
async fn python_receives_every_value_as_it_was_sent() {
    let settings = Settings::shared();
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
    for (name, message) in messages() {
        ours.send(&channel("values"), message.clone())
            .await
            .expect(name);
        let received = theirs.try_receive(&["values"]).expect(name);
        let (channel, received) = received.unwrap_or_else(|| panic!("{name} did not arrive"));
        assert_eq!(channel, "values");
        assert!(received == message, "{name} arrived changed");
    }
}

#[tokio::test]
async fn we_receive_every_value_as_python_sent_it() {
    let settings = Settings::shared();
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
    for (name, message) in messages() {
        theirs.send("values", &message).expect(name);
        let (channel, received) = take(ours, "values").await;
        assert_eq!(channel, "values");
        assert!(received == message, "{name} arrived changed");
    }
}

#[tokio::test]
async fn tuples_arrive_as_lists() {
    let settings = Settings::shared();
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
    let tuple = json!({"t": "tuple", "v": [{"t": "int", "v": "1"}, {"t": "str", "v": "two"}]});
    let message = json!({"t": "map", "v": [["pair", tuple]]});
    theirs.send_typed("values", &message).expect("it is sent");
    let (_, received) = take(ours, "values").await;
    let expected = vec![Value::Int(1), Value::from("two")];
    assert_eq!(received, message! { "pair" => expected });
}

#[tokio::test]
async fn integers_that_no_message_may_hold_are_skipped() {
    let settings = Settings::shared();
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
    let too_large = json!({"t": "int", "v": u64::MAX.to_string()});
    let message = json!({"t": "map", "v": [["number", too_large]]});
    theirs
        .send_typed("values", &message)
        .expect("Python sends it");
    theirs
        .send("values", &message! { "number" => 1 })
        .expect("it is sent");
    let (_, received) = take(ours, "values").await;
    assert_eq!(received, message! { "number" => 1 });
    assert_eq!(look(ours, "values").await, None);
}

#[tokio::test]
async fn one_writer_and_one_reader_keep_the_order() {
    let settings = Settings::shared();
    let (ours, theirs) = (&settings.ours(), &settings.theirs());
    for (name, expected) in [
        ("to.python?abc", "to.python?abc"),
        ("to.python!abc", "to.python!"),
    ] {
        for number in 0..50 {
            let message = message! { "number" => number };
            ours.send(&channel(name), message)
                .await
                .expect("there is room");
        }
        for number in 0..50 {
            let received = theirs.try_receive(&[expected]).expect("no exception");
            let (channel, message) = received.expect("there are fifty");
            assert_eq!((&*channel, message.int("number").unwrap()), (name, number));
        }
    }
    for (name, expected) in [("to.us?abc", "to.us?abc"), ("to.us!abc", "to.us!")] {
        for number in 0..50 {
            theirs
                .send(name, &message! { "number" => number })
                .expect("there is room");
        }
        for number in 0..50 {
            let (channel, message) = take(ours, expected).await;
            assert_eq!((&*channel, message.int("number").unwrap()), (name, number));
        }
    }
}
