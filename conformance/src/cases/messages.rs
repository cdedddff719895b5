use asgiref::{Map, Message, Value, message};

use crate::client::{Client, chain, client};
use crate::harness::Harness;

/// All eight types of value arrive as they were sent ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn value_types<H: Harness>(h: &H) {
    let sent = message! {
        "i" => [0, -1, i64::MAX, i64::MIN],
        "f" => 1e308,
        "b" => [true, false],
        "n" => (),
        "e" => [Value::List(Vec::new()), Map::new().into(), "".into(), b"".into()],
        "u" => "\u{1f612}",
    };
    round_trip(h, sent, "every type the specification lists is carried").await;
}

/// Text and byte strings inside nested maps keep their type and their contents ([ASGI: Channels
/// and Messages]). Python: `test_strings`.
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn strings<H: Harness>(h: &H) {
    let sent = message! {
        "values" => message! {
            "utf-bytes" => b"\xc2\xa3",
            "unicode" => "\u{a3}",
            "emoji" => "\u{1f61}2",
            "control" => b"\x01\x00\x03\x21",
        },
    };
    round_trip(h, sent, "text stays text and bytes stay bytes").await;
}

/// Text is any Unicode: beyond the basic plane, NUL, control characters, combining characters,
/// text that looks like numbers, and keys as well as values ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn unicode_text<H: Harness>(h: &H) {
    let texts = [
        "",
        "\0",
        "a\0b\0",
        "\r\n\t\u{7f}\u{85}",
        "\u{1f612}\u{10ffff}\u{10000}",
        "e\u{301}\u{fe0f}\u{200d}\u{feff}",
        "\u{fffd}\u{fffe}\u{d7ff}\u{e000}",
        "\u{5d0}\u{202e}abc",
        "0",
        "-1",
        "null",
        "\"quoted\\\"",
    ];
    let mut sent = message! { "texts" => texts };
    for text in texts {
        sent.insert(text, text);
    }
    round_trip(h, sent, "text of any characters is carried unchanged").await;
}

/// A byte string is any bytes, whether or not they could be text, and an empty one is not an
/// empty text ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn byte_strings<H: Harness>(h: &H) {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let sent = message! {
        "all" => every_byte.clone(),
        "repeated" => every_byte.repeat(200),
        "empty" => b"",
        "ascii" => b"text",
        "text" => "text",
        "no utf-8" => b"\xff\xfe\xed\xa0\x80",
    };
    round_trip(h, sent, "bytes are carried unchanged and stay bytes").await;
}

/// Integers are whole numbers of 64 bits with a sign ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn integers<H: Harness>(h: &H) {
    let mut integers = vec![0, i64::MIN, i64::MAX];
    for bits in [5, 7, 8, 15, 16, 31, 32, 53, 62] {
        let power = 1_i64 << bits;
        integers.extend([power - 1, power, power + 1, -power - 1, -power, 1 - power]);
    }
    let list: Value = integers.into_iter().map(Value::from).collect();
    round_trip(
        h,
        message! { "list" => list },
        "integers of 64 bits are exact",
    )
    .await;
}

/// Floats are IEEE 754 doubles, exact to the last bit, and one without a fraction does not turn
/// into an integer ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn floats<H: Harness>(h: &H) {
    let floats = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.1,
        1.0 / 3.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::EPSILON,
        9_007_199_254_740_993.0,
        1e100,
        123_456.789e-300,
    ];
    let received = round_trip(h, message! { "list" => floats }, "floats are exact").await;
    let list = received.list("list").expect("compared above");
    let bits = list.iter().filter_map(Value::as_float).map(f64::to_bits);
    assert!(
        bits.eq(floats.map(f64::to_bits)),
        "floats must be exact to the last bit, the sign of zero too: {list:?}"
    );
}

/// Lists and maps nest, mixed and many levels deep ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn nested_values<H: Harness>(h: &H) {
    let mut value = Value::from("innermost");
    for level in 0..24 {
        value = match level % 2 {
            0 => [
                value,
                level.into(),
                Map::new().into(),
                Value::List(Vec::new()),
            ]
            .into(),
            _ => message! { "level" => level, "inner" => value, "none" => () }.into(),
        };
    }
    round_trip(
        h,
        message! { "outer" => value },
        "nested values are carried whole",
    )
    .await;
}

/// The keys of a message, and of maps inside it, come in the order they were written.
///
/// The specification is silent; peers that sign, hash or log messages rely on it.
pub async fn key_order<H: Harness>(h: &H) {
    let keys = ["zulu", "alpha", "mike", "10", "9", "Alpha", "_", "b\u{e4}r"];
    let map: Map = keys.into_iter().zip(0..).collect();
    let mut sent = Message::from(map.clone());
    sent.insert("inner", map);
    let received = round_trip(h, sent, "all keys are carried").await;
    let inner = received.map("inner").expect("compared above");
    let rule = "keys must keep the order in which they were written";
    assert!(inner.keys().eq(keys.iter()), "{rule}: {inner:?}");
    assert!(
        received.keys().eq(keys.iter().chain([&"inner"])),
        "{rule}: {received}"
    );
}

/// A message may have a thousand keys, and lists a thousand items ([ASGI: Channels and
/// Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn many_keys<H: Harness>(h: &H) {
    let mut sent: Message = (0..1_000).map(|i| (format!("key-{i}"), i)).collect();
    let list: Value = (0..1_000)
        .map(|i| Value::from(format!("item {i}")))
        .collect();
    sent.insert("list", list);
    round_trip(h, sent, "a message with many keys is carried whole").await;
}

/// A message without keys is a message ([ASGI: Channels and Messages]). Python checks that a
/// message is a dict; a [`Message`] cannot be anything else.
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn empty_message<H: Harness>(h: &H) {
    round_trip(
        h,
        Message::new(),
        "an empty message is delivered like any other",
    )
    .await;
}

/// No key of a message means anything to a layer: the key the Python layers use to pass the full
/// name of a process-specific channel, set by the sender, is carried as it is or refused, and
/// never redirects a message ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn reserved_key<H: Harness>(h: &H) {
    let client = client(h).await;
    for (channel, target) in [("victim", "victim"), ("victim!", "victim!a")] {
        let sent = message! { "__asgi_channel__" => "victim!b", "value" => "x" };
        if client.try_send(target, sent.clone()).await.is_ok() {
            let rule = "a key of the message must not change where it goes or get lost";
            client.expect(&[channel], target, &sent, rule).await;
        }
        let rule = "a refused message is not delivered, an accepted one once";
        client.expect_nothing(&[channel], rule).await;
    }
}

/// Changing a message after it was sent does not change what is received ([ASGI: Channels and
/// Messages]). Python: `test_message_alteration_after_send`.
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn message_alteration_after_send<H: Harness>(h: &H) {
    let client = client(h).await;
    let mut message = message! { "value" => [1, 2, 3] };
    let original = message.clone();
    client.send("channel", message.clone()).await;
    alter(&mut message);
    // Sent again, so that the layer has seen the same message in both states.
    client.send("other", message.clone()).await;
    let rule = "changing a message after sending it must not change what is received";
    client
        .expect(&["channel"], "channel", &original, rule)
        .await;
    let rule = "the changed message is another one";
    client.expect(&["other"], "other", &message, rule).await;
}

/// What was received belongs to the receiver: changing it, and sending it on, changes no other
/// message that waits ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn message_alteration_after_receive<H: Harness>(h: &H) {
    let client = client(h).await;
    let message = message! { "value" => [1, 2, 3] };
    for channel in ["one", "other"] {
        client.send(channel, message.clone()).await;
    }
    let (_, mut received) = client.receive(&["one"]).await;
    alter(&mut received);
    client.send("third", received).await;
    let rule = "changing a received message must not change others";
    client.expect(&["other"], "other", &message, rule).await;
}

fn alter(message: &mut Message) {
    let list = message.get_mut("value").expect("the message has the key");
    *list = Value::from("new value");
}

/// Sends `message` on a channel of each kind, expects the same there, and returns the last one.
async fn round_trip<H: Harness>(h: &H, message: Message, rule: &str) -> Message {
    let client: Client<H> = client(h).await;
    let mut last = Message::new();
    for (channel, target) in [("kind", "kind"), ("kind?x", "kind?x"), ("kind!", "kind!x")] {
        if let Err(error) = client.try_send(target, message.clone()).await {
            panic!("{rule}, but send to `{target}` failed: {}", chain(&error));
        }
        let Some((from, received)) = client.try_receive(&[channel]).await else {
            panic!("{rule}, but nothing came on `{channel}`");
        };
        assert_eq!(from, target, "a message comes with the name of its channel");
        assert_eq!(received, message, "{rule}, but another message came (left)");
        last = received;
    }
    last
}
