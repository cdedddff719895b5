//! Byte for byte what msgpack-python 0.4.8 writes, and read as it reads.

use asgiref::codec::{CHANNEL_KEY, Codec};
use asgiref::{Bytes, ChannelName, Error, Message};
use serde_json::Value as Json;

use crate::{decode, message, typed, unhex};

fn vectors() -> Json {
    serde_json::from_str(include_str!("../vectors/layers_msgpack_messages.json")).unwrap()
}

#[test]
fn messages_are_written_as_python_writes_them() {
    let vectors = vectors();
    for vector in vectors["vectors"].as_array().unwrap() {
        let mut message = message(typed(&vector["message"]));
        let name = message.remove(CHANNEL_KEY);
        let encoded = match &name {
            None => Codec::new().encode(&message),
            Some(name) => {
                let channel = ChannelName::new(name.as_text().unwrap().clone()).unwrap();
                Codec::new().encode_for(&channel, &message)
            }
        };
        assert_eq!(
            encoded.unwrap(),
            unhex(vector["hex"].as_str().unwrap()),
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn messages_are_read_in_order() {
    let vectors = vectors();
    for vector in vectors["vectors"].as_array().unwrap() {
        let expected = message(typed(&vector["message"]));
        let decoded = decode(unhex(vector["hex"].as_str().unwrap())).unwrap();
        assert_eq!(decoded, expected, "{}", vector["name"]);
        assert!(decoded.keys().eq(expected.keys()), "{}", vector["name"]);
    }
}

#[test]
fn a_megabyte_is_written_as_python_writes_it() {
    let vectors = vectors();
    let big = &vectors["big"];
    let message = asgiref::message! { "content" => "x".repeat(1_048_576) };
    let encoded = Codec::new().encode(&message).unwrap();
    assert_eq!(encoded.len() as u64, big["len"].as_u64().unwrap());
    let head = unhex(big["head_hex"].as_str().unwrap());
    assert!(encoded.starts_with(&head));
    assert!(encoded[head.len()..].iter().all(|byte| *byte == b'x'));
    assert_eq!(decode(encoded).unwrap(), message);
}

#[test]
fn what_python_reads_is_read_if_it_is_a_message() {
    let vectors = vectors();
    for vector in vectors["decode_behaviour"].as_array().unwrap() {
        let decoded = decode(unhex(vector["hex"].as_str().unwrap()));
        let expected: Result<Message, &str> = match vector["name"].as_str().unwrap() {
            "float32" => Ok(asgiref::message! { "f" => 1.5 }),
            "raw8_old_style_key" => Ok(asgiref::message! { "a" => "blu" }),
            "bytes_key" => Ok(asgiref::message! { "a" => b"b" }),
            "ext1" | "timestamp_ext_minus1" => Err("messages hold no extension types"),
            "nonstr_key_int" => Err("a key is not text"),
            "trailing_byte" => Err("the message is over, but there is more"),
            "top_level_list" => Err("a message is a map, and this is not"),
            "bad_utf8_str" => Err("text is not UTF-8"),
            "empty_input" => Err("1 bytes or more are announced, but 0 follow"),
            other => panic!("a vector nobody thought of: {other}"),
        };
        match (decoded, expected) {
            (Ok(decoded), Ok(expected)) => assert_eq!(decoded, expected, "{vector}"),
            (Err(Error::Decode { reason, .. }), Err(expected)) => {
                assert_eq!(reason, expected, "{vector}");
            }
            (decoded, _) => panic!("{vector} is read as {decoded:?}"),
        }
    }
}

#[test]
fn not_a_number_is_written_as_python_writes_it() {
    let encoded = Codec::new()
        .encode(&asgiref::message! { "a" => f64::NAN })
        .unwrap();
    assert_eq!(encoded, unhex("81a161cb7ff8000000000000"));
    assert!(decode(encoded).unwrap().float("a").unwrap().is_nan());
}

#[test]
fn every_form_of_a_length_or_integer_is_read() {
    for (hex, expected) in [
        ("05", 5_i64),
        ("cc05", 5),
        ("cd0005", 5),
        ("ce00000005", 5),
        ("cf0000000000000005", 5),
        ("d005", 5),
        ("d10005", 5),
        ("d200000005", 5),
        ("d30000000000000005", 5),
        ("d1fffb", -5),
        ("cf7fffffffffffffff", i64::MAX),
        ("d38000000000000000", i64::MIN),
    ] {
        let decoded = decode(unhex(&format!("81a161{hex}"))).unwrap();
        assert_eq!(decoded.int("a").unwrap(), expected, "{hex}");
    }
    for text in ["a162", "d90162", "da000162", "db0000000162"] {
        assert_eq!(
            decode(unhex(&format!("81a161{text}")))
                .unwrap()
                .text("a")
                .unwrap(),
            "b"
        );
    }
    for bytes in ["c40162", "c5000162", "c60000000162"] {
        assert_eq!(
            decode(unhex(&format!("81a161{bytes}")))
                .unwrap()
                .bytes("a")
                .unwrap(),
            "b"
        );
    }
    for list in ["91c0", "dc0001c0", "dd00000001c0"] {
        assert_eq!(
            decode(unhex(&format!("81a161{list}")))
                .unwrap()
                .list("a")
                .unwrap()
                .len(),
            1
        );
    }
    for map in ["81a161c0", "de0001a161c0", "df00000001a161c0"] {
        assert_eq!(decode(unhex(map)).unwrap(), asgiref::message! { "a" => () });
    }
}

#[test]
fn texts_and_byte_strings_are_parts_of_the_input() {
    let message = asgiref::message! {
        "text" => "a text of some length", "list" => [b"some bytes".as_slice()],
    };
    let input = Codec::new().encode(&message).unwrap();
    let range = input.as_ptr_range();
    let decoded = decode(input.clone()).unwrap();
    let within = |part: &[u8]| range.contains(&part.as_ptr());
    assert!(within(decoded.text("text").unwrap().as_bytes()));
    assert!(within(decoded.list("list").unwrap()[0].as_bytes().unwrap()));
    assert!(decoded.keys().all(|key| within(key.as_bytes())));
}

#[test]
fn of_a_key_that_comes_twice_the_last_value_counts() {
    let decoded = decode(unhex("83a16101a16202a16103")).unwrap();
    assert_eq!(decoded, asgiref::message! { "a" => 3, "b" => 2 });
    assert_eq!(
        decode(Bytes::from_static(b"\x82\xa1a\x01\xc4\x01a\x02"))
            .unwrap()
            .len(),
        1
    );
}
