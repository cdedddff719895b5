//! The opening handshake, held until the application answers.

use std::sync::Arc;

use asgiref::protocol::websocket::Connect;
use asgiref::{LayerConfig, Message, message};

use crate::support::frames::Frame;
use crate::support::http::Response;
use crate::support::layer::{Fault, FaultyLayer, SECRET};
use crate::support::server::TestServer;
use crate::support::websocket::{ACCEPT, KEY, Socket, handshake};

/// Sends `request`, to which the server must answer by itself.
async fn refused(server: &TestServer, request: &str) -> Response {
    let mut client = server.connect().await;
    client.send(request).await;
    let app = server.app();
    tokio::select! {
        response = client.response() => {
            client.expect_end().await;
            response
        }
        message = app.next("websocket.connect") => panic!("led to {message}: {request}"),
        message = app.request() => panic!("led to {message}: {request}"),
    }
}

#[tokio::test]
async fn accept_completes_the_handshake() {
    let server = TestServer::start().await;
    let socket = Socket::open(&server).await;
    assert_eq!(socket.head.status, 101);
    assert_eq!(socket.head.header("sec-websocket-accept"), Some(ACCEPT));
    assert!(
        socket
            .head
            .header("upgrade")
            .unwrap()
            .eq_ignore_ascii_case("websocket")
    );
    assert!(
        socket
            .head
            .header("connection")
            .unwrap()
            .eq_ignore_ascii_case("upgrade")
    );
    assert_eq!(socket.head.header("sec-websocket-protocol"), None);
    assert_eq!(socket.head.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn every_key_of_connect_has_the_type_the_format_prescribes() {
    let server = TestServer::configured(|builder| builder.root_path("/site")).await;
    let request = handshake(
        "/chat/r%C3%B6om/?a=1&b=%20",
        &[
            "Origin: http://a.example",
            "Cookie: a=1",
            "X_Forged: 1",
            "Cookie: b=2",
        ],
    );
    let socket = Socket::open_with(&server, &request).await;
    let connect = Connect::try_from(&socket.connect).expect("a valid message");
    assert_eq!(connect.scheme, "ws");
    assert_eq!(connect.path, "/chat/r\u{f6}om/");
    assert_eq!(connect.query_string, "a=1&b=%20");
    assert_eq!(connect.root_path, "/site");
    assert_eq!(connect.order, 0);
    assert_eq!(connect.headers.get("origin").unwrap(), "http://a.example");
    assert_eq!(
        connect.headers.get_all("cookie").collect::<Vec<_>>(),
        ["a=1", "b=2"]
    );
    assert!(connect.headers.get("x_forged").is_none());
    assert_eq!(
        connect.client.unwrap().port,
        socket.client.local_addr().port()
    );
    assert_eq!(connect.server.unwrap().port, server.addr().port());
}

#[tokio::test]
async fn nothing_is_sent_before_the_application_answers() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(handshake("/", &[])).await;
    let connect = app.next("websocket.connect").await;
    // Neither of these is an answer.
    app.reply(&connect, message! {}).await;
    app.reply(&connect, message! { "close" => false }).await;
    server.expect_serving().await;
    assert!(client.buffered().is_empty());
    let quiet = tokio::time::timeout(crate::support::server::SHORT, client.fill()).await;
    assert!(quiet.is_err(), "sent: {}", client.buffered().escape_ascii());
    app.reply(&connect, message! { "accept" => true }).await;
    assert_eq!(client.head().await.status, 101);
}

#[tokio::test]
async fn data_accepts() {
    let server = TestServer::start().await;
    let app = server.app();
    for (reply, frame) in [
        (message! { "text" => "hi" }, Frame::text("hi")),
        (
            message! { "bytes" => b"\x00\xff" },
            Frame::binary(*b"\x00\xff"),
        ),
        (
            message! { "accept" => true, "text" => "hi" },
            Frame::text("hi"),
        ),
        (
            message! { "accept" => true, "bytes" => b"hi" },
            Frame::binary(*b"hi"),
        ),
    ] {
        let mut client = server.connect().await;
        client.send(handshake("/", &[])).await;
        let connect = app.next("websocket.connect").await;
        app.reply(&connect, reply).await;
        assert_eq!(client.head().await.status, 101);
        assert_eq!(client.frame().await, frame);
    }
}

#[tokio::test]
async fn rejection_is_a_403_followed_by_a_disconnect() {
    let server = TestServer::start().await;
    let app = server.app();
    for reply in [
        message! { "accept" => false },
        message! { "accept" => false, "text" => "ignored" },
        message! { "accept" => false, "bytes" => b"ignored", "close" => 4000 },
        message! { "close" => true },
        message! { "close" => 4000 },
    ] {
        let mut client = server.connect().await;
        client.send(handshake("/no", &[])).await;
        let connect = app.next("websocket.connect").await;
        app.reply(&connect, reply.clone()).await;
        assert_eq!(client.response().await.head.status, 403, "{reply}");
        client.expect_end().await;
        let gone = app.next("websocket.disconnect").await;
        assert_eq!(gone.int("code").unwrap(), 1006);
        assert_eq!(gone.int("order").unwrap(), 1);
        assert_eq!(gone.text("path").unwrap(), "/no");
        assert_eq!(
            gone.text("reply_channel").unwrap(),
            connect.text("reply_channel").unwrap()
        );
        app.reply(&connect, message! { "text" => "to nobody" })
            .await;
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn accept_send_and_close_in_one_message() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(handshake("/", &[])).await;
    let connect = app.next("websocket.connect").await;
    app.reply(
        &connect,
        message! { "accept" => true, "text" => "no room", "close" => 4001 },
    )
    .await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.frame().await, Frame::text("no room"));
    assert_eq!(client.frame().await, Frame::close(4001));
    client.send(Frame::close(4001).masked()).await;
    client.expect_end().await;
    let gone = app.next("websocket.disconnect").await;
    assert_eq!(gone.int("code").unwrap(), 4001);
    assert_eq!(gone.int("order").unwrap(), 1);
}

#[tokio::test]
async fn a_full_layer_is_answered_with_503() {
    let config = LayerConfig::new()
        .channel_capacity("websocket.connect", 0)
        .unwrap();
    let server = TestServer::with_config(config, |builder| builder).await;
    assert_eq!(
        refused(&server, &handshake("/", &[])).await.head.status,
        503
    );
    server.expect_serving().await;
    assert!(
        server.app().pending().await.is_empty(),
        "nobody knew of the connection"
    );
}

#[tokio::test]
async fn a_failing_layer_is_answered_with_an_error_that_tells_nothing() {
    let layer = Arc::new(FaultyLayer::new(LayerConfig::new()));
    let server = TestServer::on(Arc::clone(&layer) as _, |builder| builder).await;
    layer.set(Fault::Broken);
    let response = refused(&server, &handshake("/", &[])).await;
    assert_eq!(response.head.status, 503, "{response:?}");
    let text = format!("{:?}{}", response.head, response.body.escape_ascii());
    for word in SECRET.split(' ') {
        assert!(!text.contains(word), "the client learns {word:?}: {text}");
    }
    layer.set(Fault::None);
    server.expect_serving().await;
}

#[tokio::test]
async fn frames_sent_with_the_handshake_are_kept() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    let mut bytes = handshake("/", &[]).into_bytes();
    bytes.extend(Frame::text("one").masked());
    bytes.extend(Frame::part(0x1, b"tw", false).masked());
    client.send(bytes).await;
    let connect = app.next("websocket.connect").await;
    client.send(Frame::part(0x0, b"o", true).masked()).await;
    client.send(Frame::binary(*b"three").masked()).await;
    app.reply(&connect, message! { "accept" => true }).await;
    assert_eq!(client.head().await.status, 101);
    for (order, key, content) in [
        (1, "text", "one"),
        (2, "text", "two"),
        (3, "bytes", "three"),
    ] {
        let message = app.next("websocket.receive").await;
        assert_eq!(message.int("order").unwrap(), order);
        let value = message
            .get(key)
            .unwrap_or_else(|| panic!("no {key} in {message}"));
        let seen = match key {
            "text" => value.as_text().unwrap().as_bytes().clone(),
            _ => value.as_bytes().unwrap().clone(),
        };
        assert_eq!(seen, content);
    }
}

#[tokio::test]
async fn a_client_gone_before_acceptance_is_reported() {
    let server = TestServer::start().await;
    let app = server.app();
    for abort in [false, true] {
        let mut client = server.connect().await;
        client.send(handshake("/", &[])).await;
        let connect = app.next("websocket.connect").await;
        if abort {
            client.abort();
        } else {
            drop(client);
        }
        let gone = app.next("websocket.disconnect").await;
        assert_eq!(gone.int("code").unwrap(), 1006);
        assert_eq!(gone.int("order").unwrap(), 1);
        app.reply(&connect, message! { "accept" => true }).await;
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn malformed_handshakes_are_refused() {
    let server = TestServer::start().await;
    let good = handshake("/", &[]);
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    for (request, status) in [
        (with("GET", "POST"), 405),
        (with("GET", "PUT"), 405),
        (with("Connection: Upgrade\r\n", ""), 400),
        (with("Connection: Upgrade", "Connection: keep-alive"), 400),
        (with(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""), 400),
        (with(KEY, "abc"), 400),
        (with(KEY, ""), 400),
        (with(KEY, "x3JJHMbDL1EzLkh9GBhX!w=="), 400),
        (with(KEY, "x3JJHMbDL1EzLkh9GBhXDw==AAAA"), 400),
        (with("Sec-WebSocket-Version: 13\r\n", ""), 400),
        (with("Version: 13", "Version: 0"), 426),
        (with("Version: 13", "Version: 7"), 426),
        (with("Version: 13", "Version: 14"), 426),
        (with("Version: 13", "Version: x"), 426),
        (with("Host: chat.example\r\n", ""), 400),
        (
            with(
                "Sec-WebSocket-Version",
                &format!("Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version"),
            ),
            400,
        ),
    ] {
        let response = refused(&server, &request).await;
        let seen = response.head.status;
        // An unsupported version may be answered either way, but must name the supported one.
        assert!(
            seen == status || (status == 426 && seen == 400),
            "{seen} for {request}"
        );
        if status == 426 {
            let versions = response.head.header("sec-websocket-version").unwrap();
            assert!(
                versions.split(',').any(|version| version.trim() == "13"),
                "{versions}"
            );
        }
    }
    server.expect_serving().await;
    assert!(server.app().pending().await.is_empty());
}

#[tokio::test]
async fn what_asks_for_another_protocol_is_plain_http() {
    let server = TestServer::start().await;
    let app = server.app();
    for upgrade in ["h2c", "TLS/1.0", "websockets"] {
        let mut client = server.connect().await;
        let request =
            handshake("/", &[]).replace("Upgrade: websocket", &format!("Upgrade: {upgrade}"));
        client.send(request).await;
        let message = app.request().await;
        app.reply(
            &message,
            message! { "status" => 200, "content" => b"plain" },
        )
        .await;
        let response = client.response().await;
        assert_eq!(response.head.status, 200);
        assert_eq!(response.body, b"plain");
    }
}

#[tokio::test]
async fn header_values_are_understood_in_any_case_and_list() {
    let server = TestServer::start().await;
    for connection in [
        "upgrade",
        "UPGRADE",
        "keep-alive, Upgrade",
        "Upgrade,keep-alive",
    ] {
        let request = handshake("/", &[])
            .replace("Connection: Upgrade", &format!("Connection: {connection}"))
            .replace("Upgrade: websocket", "Upgrade: WebSocket");
        Socket::open_with(&server, &request).await;
    }
}

#[tokio::test]
async fn origins_are_left_to_the_application() {
    let server = TestServer::start().await;
    for origin in [
        "null",
        "file://",
        "http://evil.example",
        "chrome-extension://abc",
    ] {
        let request = handshake("/", &[&format!("Origin: {origin}")]);
        let socket = Socket::open_with(&server, &request).await;
        let connect = Connect::try_from(&socket.connect).unwrap();
        assert_eq!(connect.headers.get("origin").unwrap(), origin);
    }
}

/// Opens a WebSocket offering `offers`, accepted with `reply`; returns the chosen subprotocol.
async fn subprotocol(server: &TestServer, offers: &[&str], reply: Message) -> Option<String> {
    let app = server.app();
    let mut client = server.connect().await;
    let lines: Vec<String> = offers
        .iter()
        .map(|offer| format!("Sec-WebSocket-Protocol: {offer}"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    client.send(handshake("/", &lines)).await;
    let connect = app.next("websocket.connect").await;
    app.reply(&connect, reply).await;
    let head = client.head().await;
    assert_eq!(head.status, 101);
    head.header("sec-websocket-protocol").map(str::to_owned)
}

#[tokio::test]
async fn the_subprotocol_is_the_clients_first_that_is_configured() {
    let server = TestServer::configured(|builder| builder.ws_protocols(["b", "c"])).await;
    let accept = message! { "accept" => true };
    for (offers, chosen) in [
        (&["a, b"][..], Some("b")),
        (&["c, b"], Some("c")),
        (&["a", "b"], Some("b")),
        (&["a"], None),
        (&["B"], None),
        (&[], None),
    ] {
        let seen = subprotocol(&server, offers, accept.clone()).await;
        assert_eq!(seen.as_deref(), chosen, "{offers:?}");
    }
}

#[tokio::test]
async fn the_application_chooses_among_the_offered_subprotocols() {
    let server = TestServer::start().await;
    let reply = message! { "accept" => true, "subprotocol" => "v2.chat" };
    let seen = subprotocol(&server, &["v1.chat, v2.chat"], reply.clone()).await;
    assert_eq!(seen.as_deref(), Some("v2.chat"));
    // One the client did not offer would make it fail the connection.
    let seen = subprotocol(&server, &["v1.chat"], reply).await;
    assert_eq!(seen, None);
}
