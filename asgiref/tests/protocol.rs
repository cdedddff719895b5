//! The typed views of the message formats: what they write, what they read, what they refuse.

use std::time::Duration;

use asgiref::protocol::delay::DelayedMessage;
use asgiref::protocol::{Address, Headers, http, udp, websocket};
use asgiref::{Bytes, ChannelName, Error, Map, Message, Value, message};

const REPLY: ChannelName = ChannelName::from_static("daphne.response.AbC!XyZ");

fn request() -> http::Request {
    http::Request {
        http_version: "1.1".into(),
        scheme: "https".into(),
        query_string: Bytes::from_static(b"a=1&b=%20"),
        root_path: "/app".into(),
        headers: [("host", "example.com"), ("x-a", "1"), ("x-a", "2")].into(),
        body: Bytes::from_static(b"\x00\xff"),
        body_channel: Some(ChannelName::from_static("http.request.body?abc")),
        client: Some(Address::new("10.0.0.1", 65_535)),
        server: Some(Address::new("::1", 0)),
        ..http::Request::new(REPLY, "POST", "/caf\u{e9}")
    }
}

fn minimal_request() -> Message {
    message! {
        "reply_channel" => REPLY,
        "http_version" => "1.1",
        "method" => "GET",
        "path" => "/",
    }
}

fn connect() -> websocket::Connect {
    websocket::Connect {
        headers: [("origin", "http://example.com")].into(),
        client: Some(Address::new("10.0.0.1", 1)),
        ..websocket::Connect::new(REPLY, "/chat/")
    }
}

/// The error of reading `message` as `T`, which must name `key`.
#[track_caller]
fn refused<T>(message: &Message, key: &str) -> String
where
    T: for<'a> TryFrom<&'a Message, Error = Error> + std::fmt::Debug,
{
    let error = T::try_from(message).expect_err("must be refused");
    let text = error.to_string();
    assert!(
        text.contains(&format!("`{key}`")),
        "{text} does not name {key}"
    );
    text
}

/// As [`refused`], of `message` with `value` at `key`.
#[track_caller]
fn refused_with<T>(message: &Message, key: &'static str, value: impl Into<Value>) -> String
where
    T: for<'a> TryFrom<&'a Message, Error = Error> + std::fmt::Debug,
{
    let mut message = message.clone();
    message.insert(key, value);
    refused::<T>(&message, key)
}

/// Removes each of `keys` in turn; each time the error must say which one is missing.
#[track_caller]
fn requires<T>(message: &Message, keys: &[&str])
where
    T: for<'a> TryFrom<&'a Message, Error = Error> + std::fmt::Debug,
{
    assert!(T::try_from(message).is_ok());
    for key in keys {
        let mut without = message.clone();
        without.remove(key).expect("the key is there");
        assert!(refused::<T>(&without, key).starts_with("message has no key"));
    }
}

#[test]
fn request_round_trip() {
    let message = Message::from(request());
    assert_eq!(
        message,
        message! {
            "reply_channel" => "daphne.response.AbC!XyZ",
            "http_version" => "1.1",
            "method" => "POST",
            "scheme" => "https",
            "path" => "/caf\u{e9}",
            "query_string" => b"a=1&b=%20",
            "root_path" => "/app",
            "headers" => [[b"host".as_slice(), b"example.com"], [b"x-a", b"1"], [b"x-a", b"2"]],
            "body" => b"\x00\xff",
            "body_channel" => "http.request.body?abc",
            "client" => [Value::from("10.0.0.1"), Value::from(65_535)],
            "server" => [Value::from("::1"), Value::from(0)],
        }
    );
    assert_eq!(http::Request::try_from(message).unwrap(), request());
}

#[test]
fn request_shares_body_and_text_with_its_message() {
    let body = Bytes::from(vec![7; 1000]);
    let path = asgiref::ByteString::from("/some/path".to_owned());
    let message = Message::from(http::Request {
        body: body.clone(),
        path: path.clone(),
        ..request()
    });
    let read = http::Request::try_from(&message).unwrap();
    assert_eq!(read.body.as_ptr(), body.as_ptr());
    assert_eq!(read.path.as_ptr(), path.as_ptr());
}

#[test]
fn request_defaults() {
    let request = http::Request::try_from(&minimal_request()).unwrap();
    assert_eq!(request, http::Request::new(REPLY, "GET", "/"));
    assert_eq!(request.scheme, "http");
    let mut nulls = minimal_request();
    for key in [
        "scheme",
        "root_path",
        "headers",
        "body",
        "body_channel",
        "client",
        "server",
    ] {
        nulls.insert(key, ());
    }
    assert_eq!(http::Request::try_from(nulls).unwrap(), request);
}

#[test]
fn request_rules() {
    type Request = http::Request;
    requires::<Request>(
        &minimal_request(),
        &["reply_channel", "http_version", "method", "path"],
    );
    let refused = |key, value: Value| refused_with::<Request>(&minimal_request(), key, value);
    refused("reply_channel", "http.response".into());
    refused("reply_channel", "http.response!".into());
    refused("reply_channel", "http.response?abc".into());
    refused("reply_channel", "not a name!x".into());
    refused("reply_channel", b"http.response!x".into());
    refused("http_version", "".into());
    refused("http_version", "HTTP/1.1".into());
    refused("http_version", 1.1.into());
    refused("method", "".into());
    refused("method", "GET /".into());
    refused("scheme", "".into());
    refused("path", b"/".into());
    refused("query_string", 1.into());
    refused("root_path", b"/".into());
    refused("body", "text".into());
    refused("body_channel", "http.request.body".into());
    refused("body_channel", "http.request.body!abc".into());
    refused("client", "10.0.0.1:80".into());
    refused("client", ["10.0.0.1"].into());
    refused(
        "client",
        [Value::from("10.0.0.1"), Value::from("80")].into(),
    );
    refused(
        "server",
        [Value::from("10.0.0.1"), Value::from(65_536)].into(),
    );
    refused("server", [Value::from("10.0.0.1"), Value::from(-1)].into());
}

#[test]
fn request_from_python_test_clients() {
    let mut message = minimal_request();
    message.insert("query_string", "a=1");
    message.insert(
        "headers",
        Map::from_iter([
            ("host", Value::from(b"example.com")),
            ("x-name", Value::from("caf\u{e9}")),
        ]),
    );
    let request = http::Request::try_from(&message).unwrap();
    assert_eq!(request.query_string, "a=1");
    assert_eq!(request.headers.get("host").unwrap(), "example.com");
    assert_eq!(
        request.headers.get("x-name").unwrap(),
        b"caf\xe9".as_slice()
    );
}

#[test]
fn header_names_are_written_in_lower_case_and_found_in_any() {
    let headers = Headers::from([("Content-Type", "text/plain"), ("x-a", "b")]);
    assert_eq!(headers.get("content-TYPE").unwrap(), "text/plain");
    assert_eq!(
        Value::from(headers),
        Value::from([[b"content-type".as_slice(), b"text/plain"], [b"x-a", b"b"]])
    );
}

#[test]
fn headers_as_text_are_latin1() {
    let value = Value::from([[Value::from("x-a"), Value::from("\u{e9}")]]);
    let headers = Headers::try_from(&value).unwrap();
    assert_eq!(
        headers.as_slice(),
        [(Bytes::from("x-a"), Bytes::from_static(b"\xe9"))]
    );
    let value = Value::from([[Value::from("x-a"), Value::from("\u{20ac}")]]);
    assert!(
        Headers::try_from(&value)
            .unwrap_err()
            .to_string()
            .contains("Latin-1")
    );
}

#[test]
fn headers_of_another_shape_are_refused() {
    for value in [
        Value::from(1),
        Value::from("host: x"),
        Value::from([b"host"]),
        Value::from([[b"host"]]),
        Value::from([[b"a", b"b", b"c"]]),
        Value::from([[1, 2]]),
    ] {
        assert!(Headers::try_from(&value).is_err(), "{value}");
    }
}

#[test]
fn body_chunk_rules() {
    type Chunk = http::BodyChunk;
    let chunk = Chunk::try_from(&message! { "content" => b"abc" }).unwrap();
    assert_eq!(
        chunk,
        Chunk {
            content: Bytes::from("abc"),
            ..Chunk::default()
        }
    );
    let closed = Chunk {
        closed: true,
        ..Chunk::default()
    };
    assert_eq!(
        Chunk::try_from(&message! { "closed" => true }).unwrap(),
        closed
    );
    for chunk in [
        chunk,
        closed,
        Chunk {
            more_content: true,
            ..Chunk::default()
        },
    ] {
        assert_eq!(
            Chunk::try_from(Message::from(chunk.clone())).unwrap(),
            chunk
        );
    }
    refused::<Chunk>(&message! { "more_content" => true }, "content");
    refused::<Chunk>(&message! { "content" => "text" }, "content");
    refused::<Chunk>(
        &message! { "content" => b"", "more_content" => 1 },
        "more_content",
    );
}

#[test]
fn response_round_trip() {
    let whole = http::Response {
        headers: [("content-type", "text/plain")].into(),
        ..http::Response::new(200, "hello")
    };
    let message = Message::from(whole.clone());
    assert_eq!(
        message,
        message! {
            "status" => 200,
            "headers" => [[b"content-type".as_slice(), b"text/plain"]],
            "content" => b"hello",
            "more_content" => false,
        }
    );
    assert_eq!(http::Response::try_from(message).unwrap(), whole);

    let chunk = Message::from(http::Response::chunk("more", true));
    assert_eq!(
        chunk,
        message! { "content" => b"more", "more_content" => true }
    );

    let aborted = Message::from(http::Response::aborted());
    assert_eq!(
        aborted,
        message! { "content" => b"", "closed" => true, "more_content" => false }
    );
    assert_eq!(
        http::Response::try_from(aborted).unwrap(),
        http::Response::aborted()
    );
}

#[test]
fn response_rules() {
    type Response = http::Response;
    let message = message! { "status" => 200, "status_text" => b"Fine" };
    assert_eq!(
        Response::try_from(&message).unwrap(),
        Response::new(200, "")
    );
    let refused = |key, value: Value| refused_with::<Response>(&message, key, value);
    for status in [-1, 0, 99, 1000, 65_736] {
        refused("status", status.into());
    }
    refused("status", "200".into());
    refused("content", "text".into());
    refused("more_content", 0.into());
    refused("closed", 0.into());
    refused("request", message! {}.into());
}

#[test]
fn response_headers_cannot_break_out_of_their_line() {
    let refused = |name: &[u8], value: &[u8]| {
        let message = message! { "status" => 200, "headers" => [[name, value]] };
        refused::<http::Response>(&message, "headers")
    };
    for bad in [
        b"v\r\nset-cookie: a=b".as_slice(),
        b"a\nb",
        b"a\rb",
        b"a\0b",
        b"\x0b",
        b"\x7f",
    ] {
        let error = refused(b"X-Name", bad);
        assert!(error.contains("`X-Name`"), "{error}");
    }
    for bad in [b"".as_slice(), b"a b", b"a:b", b"a\r\nb", b"\xe9"] {
        refused(bad, b"v");
    }
    let fine =
        message! { "status" => 200, "headers" => [[b"Set-Cookie".as_slice(), b" a=\xe9;\tb"]] };
    assert!(http::Response::try_from(&fine).is_ok());
}

#[test]
fn http_disconnect_rules() {
    let message = message! { "reply_channel" => REPLY, "path" => "/" };
    let disconnect = http::Disconnect::try_from(&message).unwrap();
    assert_eq!(Message::from(disconnect), message);
    requires::<http::Disconnect>(&message, &["reply_channel", "path"]);
}

#[test]
fn connect_rules() {
    let message = Message::from(connect());
    assert_eq!(websocket::Connect::try_from(&message).unwrap(), connect());
    assert_eq!(message.int("order").unwrap(), 0);
    requires::<websocket::Connect>(&message, &["reply_channel", "path", "order"]);
    refused_with::<websocket::Connect>(&message, "order", -1);
    let short = message! { "reply_channel" => REPLY, "path" => "/", "order" => 0 };
    assert_eq!(websocket::Connect::try_from(short).unwrap().scheme, "ws");
}

#[test]
fn receive_rules() {
    use websocket::{Frame, Receive};
    let base = message! { "reply_channel" => REPLY, "path" => "/", "order" => 1 };
    let with = |entries: &[(&'static str, Value)]| {
        let mut message = base.clone();
        message.extend(entries.iter().cloned());
        Receive::try_from(&message).map(|receive| receive.frame)
    };
    let text = |text: &str| Frame::from(text);
    let binary = |bytes: &'static [u8]| Frame::Binary(Bytes::from_static(bytes));
    assert_eq!(with(&[("text", "a".into())]).unwrap(), text("a"));
    assert_eq!(with(&[("text", "".into())]).unwrap(), text(""));
    assert_eq!(with(&[("bytes", b"".into())]).unwrap(), binary(b""));
    assert_eq!(
        with(&[("bytes", b"a".into()), ("text", ().into())]).unwrap(),
        binary(b"a")
    );
    assert_eq!(
        with(&[("bytes", ().into()), ("text", "".into())]).unwrap(),
        text("")
    );
    assert_eq!(
        with(&[("bytes", b"".into()), ("text", "a".into())]).unwrap(),
        text("a")
    );
    assert_eq!(
        with(&[("bytes", b"".into()), ("text", "".into())]).unwrap(),
        text("")
    );
    assert!(with(&[("bytes", b"a".into()), ("text", "a".into())]).is_err());
    assert!(with(&[("text", b"a".into())]).is_err());
    assert!(with(&[("bytes", "a".into())]).is_err());
    refused::<Receive>(&base, "text");

    let mut message = base.clone();
    message.insert("text", "hi");
    requires::<Receive>(&message, &["reply_channel", "path", "order"]);
    assert_eq!(Message::from(Receive::try_from(&message).unwrap()), message);
}

#[test]
fn websocket_disconnect_rules() {
    use websocket::Disconnect;
    let message =
        message! { "reply_channel" => REPLY, "code" => 1006, "path" => "/", "order" => 7 };
    assert_eq!(
        Message::from(Disconnect::try_from(&message).unwrap()),
        message
    );
    requires::<Disconnect>(&message, &["reply_channel", "path", "order"]);
    for broken in [Some(Value::Null), None] {
        let mut message = message.clone();
        message.remove("code");
        message.extend(broken.map(|code| ("code", code)));
        assert_eq!(Disconnect::try_from(message).unwrap().code, 1006);
    }
    refused_with::<Disconnect>(&message, "code", -1);
    refused_with::<Disconnect>(&message, "code", 65_536);
    refused_with::<Disconnect>(&message, "order", "7");
}

#[test]
fn reply_acceptance_and_frames() {
    use websocket::Reply;
    let read = |message: Message| Reply::try_from(message).unwrap();
    assert_eq!(read(message! {}), Reply::default());
    assert_eq!(read(message! { "accept" => true }), Reply::accept());
    assert_eq!(read(message! { "accept" => false }), Reply::reject());
    assert_eq!(read(message! { "text" => "a" }), Reply::frame("a"));
    assert_eq!(
        read(message! { "bytes" => b"a", "text" => () }),
        Reply::frame(b"a".to_vec())
    );
    assert_eq!(read(message! { "text" => "" }), Reply::frame(""));
    assert_eq!(
        read(message! { "text" => "", "bytes" => b"" }),
        Reply::default()
    );
    assert_eq!(
        read(message! { "text" => "a", "reply_channel" => "x", "path" => 1, "order" => () }),
        Reply::frame("a")
    );
    for reply in [
        Reply::accept(),
        Reply::frame(""),
        Reply {
            subprotocol: Some("v1.chat".into()),
            ..Reply::accept()
        },
        Reply {
            close: Some(4001),
            ..Reply::frame(vec![0])
        },
    ] {
        assert_eq!(read(Message::from(reply.clone())), reply);
    }
}

#[test]
fn reply_close_codes() {
    use websocket::Reply;
    let close = |value: Value| Reply::try_from(message! { "close" => value }).map(|it| it.close);
    assert_eq!(close(true.into()).unwrap(), Some(1000));
    for none in [Value::from(false), Value::from(0), Value::Null] {
        assert_eq!(close(none).unwrap(), None);
    }
    for valid in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4403, 4999] {
        assert_eq!(close(valid.into()).unwrap(), u16::try_from(valid).ok());
    }
    for invalid in [
        -1,
        1,
        999,
        1004,
        1005,
        1006,
        1015,
        2500,
        2999,
        5000,
        65_536 + 1000,
    ] {
        refused::<Reply>(&message! { "close" => invalid }, "close");
    }
    refused::<Reply>(&message! { "close" => "1000" }, "close");
}

#[test]
fn reply_refusals() {
    use websocket::Reply;
    refused::<Reply>(
        &message! { "text" => "a", "bytes" => b"a", "accept" => true },
        "text",
    );
    refused::<Reply>(&message! { "text" => b"a" }, "text");
    refused::<Reply>(&message! { "bytes" => "a" }, "bytes");
    refused::<Reply>(&message! { "accept" => 1 }, "accept");
    refused::<Reply>(&message! { "foo" => 1, "text" => "a" }, "foo");
    refused::<Reply>(&message! { "subprotocol" => "a b" }, "subprotocol");
    let long = "k".repeat(1_000_000);
    let message = Message::from_iter([(long, 1)]);
    assert!(Reply::try_from(&message).unwrap_err().to_string().len() < 300);
}

#[test]
fn delayed_message_rules() {
    let message =
        message! { "channel" => "later", "delay" => 1500, "content" => message! { "x" => 1 } };
    let delayed = DelayedMessage::try_from(&message).unwrap();
    assert_eq!(delayed.delay, Duration::from_millis(1500));
    assert_eq!(Message::from(delayed.clone()), message);
    requires::<DelayedMessage>(&message, &["channel", "delay", "content"]);
    for delay in [
        Value::from(0),
        Value::from(-1),
        Value::from(1.5),
        Value::from(true),
    ] {
        refused_with::<DelayedMessage>(&message, "delay", delay);
    }
    refused_with::<DelayedMessage>(&message, "channel", "no name");
    refused_with::<DelayedMessage>(&message, "content", "text");
    refused_with::<DelayedMessage>(&message, "content", ());

    let delay_of = |delay| {
        Message::from(DelayedMessage {
            delay,
            ..delayed.clone()
        })
        .int("delay")
    };
    assert_eq!(delay_of(Duration::from_micros(1001)).unwrap(), 2);
    assert_eq!(delay_of(Duration::ZERO).unwrap(), 1);
    assert_eq!(delay_of(Duration::MAX).unwrap(), i64::MAX);
}

#[test]
fn udp_rules() {
    let message = Message::from(udp::Receive {
        reply_channel: ChannelName::from_static("udp.send.AbC!x"),
        data: Bytes::from("ping"),
        client: Address::new("10.0.0.1", 53),
        server: None,
    });
    requires::<udp::Receive>(&message, &["reply_channel", "data", "client"]);
    let send = udp::Send::try_from(&message! { "data" => b"pong" }).unwrap();
    assert_eq!(Message::from(send), message! { "data" => b"pong" });
    refused::<udp::Send>(&message! { "data" => "pong" }, "data");
}

#[test]
fn views_of_large_messages_have_short_text_forms() {
    let request = http::Request {
        body: vec![b'x'; 1_000_000].into(),
        ..request()
    };
    assert!(format!("{request:?}").len() < 2000);
    let frame = websocket::Frame::Text("x".repeat(1_000_000).into());
    assert!(format!("{frame:?}").len() < 2000);
}

#[test]
fn addresses_as_text() {
    assert_eq!(Address::new("10.0.0.1", 80).to_string(), "10.0.0.1:80");
    assert_eq!(Address::new("::1", 80).to_string(), "[::1]:80");
    let socket: std::net::SocketAddr = "[::1]:443".parse().unwrap();
    assert_eq!(Address::from(socket), Address::new("::1", 443));
}
