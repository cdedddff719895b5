//! Frames that break the protocol, and the close codes they lead to.

use crate::support::frames::{BINARY, CLOSE, CONTINUATION, Frame, PING, TEXT};
use crate::support::server::TestServer;
use crate::support::websocket::Socket;

/// Sends `bytes`, which must end the connection with `code`; the disconnect message says 1006
/// because the client sent no close frame, or the code that was sent.
async fn expect_failure(server: &TestServer, what: &str, bytes: Vec<u8>, code: u16) {
    let Socket {
        mut client, app, ..
    } = Socket::open(server).await;
    let _ = client.try_send(bytes).await;
    let frame = client.frame().await;
    assert_eq!(frame.opcode(), CLOSE, "{what}: {frame:?}");
    assert_eq!(frame.close_code(), code, "{what}");
    client.expect_end().await;
    drop(client);
    let gone = app.next("websocket.disconnect").await;
    let seen = gone.int("code").unwrap();
    assert!(seen == i64::from(code) || seen == 1006, "{what}: {seen}");
    assert_eq!(
        gone.int("order").unwrap(),
        1,
        "{what}: nothing was received before"
    );
}

#[tokio::test]
async fn protocol_errors_are_1002() {
    let server = TestServer::start().await;
    let masked = |first: u8, payload: &[u8]| {
        Frame {
            first,
            payload: payload.to_vec(),
        }
        .masked()
    };
    for (what, bytes) in [
        ("unmasked", Frame::text("a").unmasked()),
        ("first reserved bit", masked(0xc0 | TEXT, b"a")),
        ("second reserved bit", masked(0xa0 | TEXT, b"a")),
        ("third reserved bit", masked(0x90 | BINARY, b"a")),
        ("unknown data opcode", masked(0x83, b"a")),
        ("unknown control opcode", masked(0x8b, b"a")),
        ("fragmented ping", masked(PING, b"a")),
        ("fragmented close", masked(CLOSE, b"")),
        ("ping of 126 bytes", masked(0x80 | PING, &[0; 126])),
        ("continuation of nothing", masked(0x80 | CONTINUATION, b"a")),
        (
            "new message inside another",
            [
                Frame::part(TEXT, b"a", false).masked(),
                Frame::text("b").masked(),
            ]
            .concat(),
        ),
        ("close payload of one byte", masked(0x80 | CLOSE, b"\x03")),
    ] {
        expect_failure(&server, what, bytes, 1002).await;
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let bytes = Frame::close(code).masked();
        expect_failure(&server, &format!("close code {code}"), bytes, 1002).await;
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn invalid_utf8_is_1007() {
    let server = TestServer::start().await;
    for (what, bytes) in [
        ("stray byte", Frame::new(TEXT, *b"a\xffb").masked()),
        ("overlong form", Frame::new(TEXT, *b"\xc0\xaf").masked()),
        ("surrogate", Frame::new(TEXT, *b"\xed\xa0\x80").masked()),
        ("cut off", Frame::new(TEXT, *b"\xe2\x82").masked()),
        (
            "across fragments",
            [
                Frame::part(TEXT, b"\xe2", false).masked(),
                Frame::part(CONTINUATION, b"a", true).masked(),
            ]
            .concat(),
        ),
        (
            "in a close reason",
            Frame::new(CLOSE, *b"\x03\xe8\xff").masked(),
        ),
    ] {
        expect_failure(&server, what, bytes, 1007).await;
    }
}

#[tokio::test]
async fn messages_beyond_the_limit_are_1009() {
    let server = TestServer::configured(|builder| {
        builder
            .websocket_max_message_size(1_000)
            .websocket_max_frame_size(1_000)
    })
    .await;
    expect_failure(
        &server,
        "one frame",
        Frame::binary(vec![0; 1_001]).masked(),
        1009,
    )
    .await;
    let parts = [
        Frame::part(BINARY, &[0; 600], false).masked(),
        Frame::part(CONTINUATION, &[0; 600], true).masked(),
    ];
    expect_failure(&server, "fragments", parts.concat(), 1009).await;
    // A header that announces what will never come: refused without waiting for it.
    let mut endless = vec![0x82, 0xff];
    endless.extend((1_u64 << 40).to_be_bytes());
    endless.extend([0; 4]);
    expect_failure(&server, "announced terabyte", endless, 1009).await;
    let mut socket = Socket::open(&server).await;
    socket
        .client
        .send(Frame::binary(vec![7; 1_000]).masked())
        .await;
    assert_eq!(socket.received().await.bytes("bytes").unwrap().len(), 1_000);
}

#[tokio::test]
async fn garbage_ends_the_connection_and_not_the_server() {
    let server = TestServer::start().await;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..200 {
        let mut socket = Socket::open(&server).await;
        let garbage: Vec<u8> = (0..64)
            .map(|_| {
                // Xorshift: the same garbage in every run.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        let _ = socket.client.try_send(&garbage).await;
        socket.client.finish_sending().await;
        socket.client.rest().await;
        socket.disconnect().await;
        // Garbage may hold valid frames.
        socket.app.pending().await;
    }
    server.expect_serving().await;
    server.expect_idle().await;
}
