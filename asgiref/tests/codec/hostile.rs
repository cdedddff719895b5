//! Bytes made to hurt. Each is refused at the place where it goes wrong; none panics, runs away
//! or takes memory for what is not there.

use asgiref::codec::Codec;
use asgiref::{Error, Message, message};

use crate::{decode, unhex};

/// Name, bytes in hexadecimal, offset of the error, and its reason.
const CORPUS: &[(&str, &str, usize, &str)] = &[
    (
        "nothing",
        "",
        0,
        "1 bytes or more are announced, but 0 follow",
    ),
    ("null", "c0", 0, "a message is a map, and this is not"),
    ("text", "a161", 0, "a message is a map, and this is not"),
    (
        "an encrypted message",
        "67414141414142",
        0,
        "it looks encrypted; every process needs the same `symmetric_encryption_keys`",
    ),
    (
        "a byte that begins nothing",
        "c1",
        0,
        "0xc1 begins no value",
    ),
    ("the same as a value", "81a161c1", 3, "0xc1 begins no value"),
    ("the same as a key", "81c1c0", 1, "0xc1 begins no value"),
    (
        "map without entries",
        "81",
        1,
        "2 bytes or more are announced, but 0 follow",
    ),
    (
        "key without value",
        "81a161",
        3,
        "1 bytes or more are announced, but 0 follow",
    ),
    (
        "two messages",
        "8080",
        1,
        "the message is over, but there is more",
    ),
    (
        "map of four billion",
        "dfffffffff",
        5,
        "8589934590 bytes or more are announced, but 0 follow",
    ),
    (
        "map of 65535",
        "deffff",
        3,
        "131070 bytes or more are announced, but 0 follow",
    ),
    (
        "cut map length",
        "df0000",
        1,
        "4 bytes or more are announced, but 2 follow",
    ),
    (
        "list of four billion",
        "81a161ddffffffff",
        8,
        "4294967295 bytes or more are announced, but 0 follow",
    ),
    (
        "list of 65535",
        "81a161dcffffc0",
        6,
        "65535 bytes or more are announced, but 1 follow",
    ),
    (
        "text of four billion",
        "81a161dbffffffff",
        8,
        "4294967295 bytes or more are announced, but 0 follow",
    ),
    (
        "bytes of four billion",
        "81a161c6ffffffff00",
        8,
        "4294967295 bytes or more are announced, but 1 follow",
    ),
    (
        "text longer by one",
        "81a161a261",
        4,
        "2 bytes or more are announced, but 1 follow",
    ),
    (
        "key of four billion",
        "81dbffffffffc0",
        6,
        "4294967295 bytes or more are announced, but 1 follow",
    ),
    (
        "cut integer",
        "81a161d3000000",
        4,
        "8 bytes or more are announced, but 3 follow",
    ),
    (
        "cut float",
        "81a161cb00",
        4,
        "8 bytes or more are announced, but 1 follow",
    ),
    (
        "integer above 63 bits",
        "81a161cf8000000000000000",
        3,
        "an integer is above 2^63 - 1",
    ),
    (
        "greatest integer",
        "81a161cfffffffffffffffff",
        3,
        "an integer is above 2^63 - 1",
    ),
    (
        "integer key above 63 bits",
        "81cfffffffffffffffff01",
        1,
        "an integer is above 2^63 - 1",
    ),
    ("null key", "81c001", 1, "a key is not text"),
    ("list as key", "8191a16101", 1, "a key is not text"),
    ("map as key", "81806101", 1, "a key is not text"),
    ("float key", "81ca0000000001", 1, "a key is not text"),
    (
        "bytes key that is no text",
        "81c401ff01",
        3,
        "text is not UTF-8",
    ),
    ("overlong UTF-8", "81a161a2c0af", 4, "text is not UTF-8"),
    ("lone surrogate", "81a161a3eda080", 4, "text is not UTF-8"),
    ("cut UTF-8", "81a161a1c3", 4, "text is not UTF-8"),
    (
        "fixext 1",
        "81a161d40000",
        3,
        "messages hold no extension types",
    ),
    (
        "fixext 16",
        "81a161d800",
        3,
        "messages hold no extension types",
    ),
    (
        "ext 32 of four billion",
        "81a161c9ffffffff00",
        3,
        "messages hold no extension types",
    ),
    (
        "ext as key",
        "81c70000c0",
        1,
        "messages hold no extension types",
    ),
];

#[test]
fn the_corpus_is_refused_with_place_and_reason() {
    for (name, hex, place, expected) in CORPUS {
        match decode(unhex(hex)).unwrap_err() {
            Error::Decode { offset, reason } => {
                assert_eq!((offset, reason.as_str()), (*place, *expected), "{name}");
            }
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn a_million_nested_lists_do_not_exhaust_the_stack() {
    for opening in ["91", "81a0", "dd00000001", "de0001a0"] {
        let bytes = [unhex("81a161"), unhex(opening).repeat(1_000_000)].concat();
        let error = decode(bytes).unwrap_err();
        assert!(error.to_string().contains("nested deeper"), "{error}");
    }
}

/// Each list says that all that follows is its items. Were room taken for what they announce, it
/// would be gigabytes.
#[test]
fn lists_that_all_claim_the_rest_take_no_room() {
    let mut bytes = unhex("81a161");
    for _ in 0..60 {
        bytes.extend([0xdd, 0x00, 0xf0, 0x00, 0x00]);
    }
    bytes.resize(16 << 20, 0xc0);
    assert!(decode(bytes).is_err());
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let whole = Codec::new().encode(&everything()).unwrap();
    for end in 0..whole.len() {
        assert!(decode(whole.slice(..end)).is_err(), "cut at {end}");
    }
}

#[test]
fn any_byte_of_a_message_may_be_any_other() {
    let whole = Codec::new().encode(&everything()).unwrap().to_vec();
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        for byte in 0..=u8::MAX {
            altered[at] = byte;
            if let Ok(message) = decode(altered.clone()) {
                assert_reencodes(&message);
            }
        }
    }
}

#[test]
fn all_short_inputs_are_read_or_refused() {
    for first in 0..=u8::MAX {
        let _ = decode(vec![first]);
        for second in 0..=u8::MAX {
            let _ = decode(vec![first, second]);
            let _ = decode(vec![0x81, 0xa0, first, second]);
            let _ = decode(vec![0x82, first, second, 0xa0, 0xc0]);
        }
    }
}

#[test]
fn keys_repeated_a_hundred_thousand_times_are_one_key() {
    let mut bytes = vec![0xdf, 0x00, 0x01, 0x86, 0xa0];
    bytes.extend(b"\xa3key\x01".repeat(99_999));
    bytes.extend(b"\xa3key\x02");
    assert_eq!(decode(bytes).unwrap(), message! { "key" => 2 });
}

#[test]
fn many_different_keys_are_read_in_time() {
    let message: Message = (0..200_000)
        .map(|at| (format!("key{at}"), at as u32))
        .collect();
    let bytes = Codec::new().encode(&message).unwrap();
    assert_eq!(decode(bytes).unwrap(), message);
}

fn everything() -> Message {
    message! {
        "null" => (),
        "yes" => true,
        "integers" => [0_i64, -1, 128, -129, 65_536, -70_000, i64::MAX, i64::MIN],
        "float" => 1.5,
        "text" => "caf\u{e9} \u{1f612}",
        "long" => "x".repeat(300),
        "bytes" => b"\x00\xff",
        "nested" => message! { "list" => [[1, 2], [3, 4]], "empty" => message! {} },
    }
}

/// What could be read can be written, and is the same when it is read again.
fn assert_reencodes(message: &Message) {
    let again = decode(Codec::new().encode(message).unwrap()).unwrap();
    // Not a number is not equal to itself, so texts are compared.
    assert_eq!(again.to_string(), message.to_string());
}
