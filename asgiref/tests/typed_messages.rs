//! A message made of a struct says the same as the map it becomes, whichever is asked first.

use asgiref::protocol::websocket::{Frame, Receive};
use asgiref::protocol::{Address, Headers, HeadersRef, http};
use asgiref::{Bytes, ChannelName, Error, Message, message};

const REPLY: ChannelName = ChannelName::from_static("daphne.response.AbC!XyZ");

/// Messages of every struct, with and without what they may lack. Made anew for each look, because
/// a look may turn a message into a map.
fn messages() -> Vec<Message> {
    let request = http::Request {
        query_string: Bytes::from_static(b"a=1"),
        headers: [("Host", "example.com"), ("x-a", "1"), ("x-a", "2")].into(),
        body: Bytes::from_static(b"\x00\xff"),
        body_channel: Some(ChannelName::from_static("http.request.body?abc")),
        client: Some(Address::new("10.0.0.1", 65_535)),
        server: Some(Address::new("::1", 0)),
        ..http::Request::new(REPLY, "POST", "/caf\u{e9}")
    };
    let response = http::Response {
        headers: [("Content-Type", "text/plain")].into(),
        ..http::Response::new(200, "hello")
    };
    let receive = |frame: Frame| Receive {
        reply_channel: REPLY,
        path: "/chat/".into(),
        frame,
        order: 7,
    };
    vec![
        request.into(),
        http::Request::new(REPLY, "GET", "/").into(),
        response.into(),
        http::Response::new(404, Bytes::new()).into(),
        http::Response::chunk("more", true).into(),
        http::Response::aborted().into(),
        receive("text".into()).into(),
        receive(Bytes::from_static(b"\xff").into()).into(),
    ]
}

/// The same as maps.
fn maps() -> Vec<Message> {
    let messages = messages().into_iter();
    messages
        .map(|message| Message::from(message.into_map()))
        .collect()
}

/// Every key of any of them, one of none, and one that a request never has.
fn keys() -> Vec<String> {
    let mut keys = vec!["absent".to_owned(), "request".to_owned()];
    for map in maps() {
        keys.extend(map.keys().map(ToString::to_string));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[test]
fn every_way_to_look_at_a_key_sees_the_same() {
    type Look = fn(&Message, &str) -> String;
    let looks: [Look; 12] = [
        |message, key| format!("{:?}", message.get(key)),
        |message, key| format!("{:?}", message.contains_key(key)),
        |message, key| shown(message.bool(key)),
        |message, key| shown(message.int(key)),
        |message, key| shown(message.float(key)),
        |message, key| shown(message.bytes(key)),
        |message, key| shown(message.text(key)),
        |message, key| shown(message.list(key)),
        |message, key| shown(message.map(key)),
        |message, key| shown(message.channel(key)),
        |message, key| shown(message.opt_text(key)),
        |message, key| shown(message.opt_channel(key)),
    ];
    for key in keys() {
        for look in looks {
            for (typed, map) in messages().iter().zip(&maps()) {
                assert_eq!(look(typed, &key), look(map, &key), "`{key}` of {map}");
            }
        }
    }
}

fn shown<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_whole_is_the_same() {
    for (typed, map) in messages().into_iter().zip(maps()) {
        assert_eq!(typed.len(), map.len());
        assert_eq!(typed.is_empty(), map.is_empty());
        assert_eq!(typed.to_string(), map.to_string());
        assert_eq!(typed, map);
        assert!(typed.keys().eq(map.keys()), "{map}");
        assert_eq!(typed.clone().into_map(), *map.as_map());
    }
}

#[test]
fn header_fields_are_the_same_in_either_form() {
    for (typed, map) in messages().iter().zip(&maps()) {
        let fields = |message| {
            let mut fields = Headers::new();
            let headers = HeadersRef::of(message).unwrap();
            let visited = headers.visit(|name, value| {
                fields.push(name.clone(), value.clone());
                Ok::<_, Error>(())
            });
            visited.unwrap();
            assert_eq!(headers.len(), fields.len());
            fields
        };
        assert_eq!(fields(typed), fields(map));
    }
}

#[test]
fn a_struct_is_read_from_either_form() {
    let [typed, map] = [messages(), maps()];
    let request = |message| http::Request::try_from(message);
    let response = |message| http::Response::try_from(message);
    let receive = |message| Receive::try_from(message);
    for (typed, map) in typed.iter().zip(&map) {
        assert_eq!(request(typed).ok(), request(map).ok(), "{map}");
        assert_eq!(response(typed).ok(), response(map).ok(), "{map}");
        assert_eq!(receive(typed).ok(), receive(map).ok(), "{map}");
    }
    assert_eq!(typed.iter().filter(|m| request(m).is_ok()).count(), 2);
    assert_eq!(typed.iter().filter(|m| receive(m).is_ok()).count(), 2);
}

#[test]
fn rules_hold_although_a_struct_was_not_checked_when_it_was_sent() {
    let split = http::Response {
        headers: [("x-name", "a\r\nset-cookie: b")].into(),
        ..http::Response::new(200, "")
    };
    assert!(http::Response::try_from(Message::from(split)).is_err());
    assert!(http::Response::try_from(Message::from(http::Response::new(99, ""))).is_err());
    let channel = ChannelName::from_static("not.process.specific");
    let request = http::Request::new(channel, "GET", "/");
    assert!(http::Request::try_from(Message::from(request)).is_err());
    let request = http::Request::new(REPLY, "GET /", "/");
    assert!(http::Request::try_from(Message::from(request)).is_err());
}

#[test]
fn changing_one_copy_leaves_the_others() {
    for mut typed in messages() {
        let before = typed.clone();
        let map = typed.clone().into_map();
        typed.insert("added", 1);
        typed.remove("content");
        assert!(!before.contains_key("added"));
        assert_eq!(*before.as_map(), map);
        assert_eq!(typed.int("added").unwrap(), 1);
        assert!(!typed.contains_key("content"));
    }
}

#[test]
fn the_size_is_that_of_texts_and_byte_strings() {
    let message = message! {
        "content" => b"0123456789",
        "text" => "four",
        "list" => ["not counted"],
        "order" => 1,
    };
    assert_eq!(message.payload_size(), 14);
    let response = Message::from(http::Response::new(200, "0123456789"));
    assert_eq!(response.payload_size(), 10);
}
