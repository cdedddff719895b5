//! Frames and messages both ways.

use asgiref::protocol::websocket::Receive;
use asgiref::{Message, message};

use crate::support::frames::{BINARY, CONTINUATION, Frame, PONG, TEXT};
use crate::support::server::TestServer;
use crate::support::websocket::Socket;

#[tokio::test]
async fn text_and_binary_in_both_directions() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    socket.client.send(Frame::text("h\u{e9}llo").masked()).await;
    let message = socket.received().await;
    assert_eq!(message.text("text").unwrap(), "h\u{e9}llo");
    assert!(message.get("bytes").is_none_or(asgiref::Value::is_null));
    socket
        .client
        .send(Frame::binary(*b"\x00\xff").masked())
        .await;
    let message = socket.received().await;
    assert_eq!(message.bytes("bytes").unwrap(), &b"\x00\xff"[..]);
    assert!(message.get("text").is_none_or(asgiref::Value::is_null));
    socket.reply(message! { "text" => "w\u{f6}rld" }).await;
    assert_eq!(socket.client.frame().await, Frame::text("w\u{f6}rld"));
    socket.reply(message! { "bytes" => b"\xff\x00" }).await;
    assert_eq!(socket.client.frame().await, Frame::binary(*b"\xff\x00"));
}

#[tokio::test]
async fn receive_messages_are_valid_and_numbered() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    let mut bytes = Vec::new();
    for number in 1..=100 {
        bytes.extend(Frame::text(&format!("{number}")).masked());
    }
    socket.client.send(bytes).await;
    for number in 1..=100 {
        let message = socket.received().await;
        let receive = Receive::try_from(&message).expect("a valid message");
        assert_eq!(receive.order, number);
        assert_eq!(message.text("text").unwrap(), &format!("{number}"));
        assert_eq!(receive.path, "/chat/");
        assert_eq!(
            receive.reply_channel,
            socket.connect.channel("reply_channel").unwrap()
        );
    }
    socket.client.send(Frame::close(1000).masked()).await;
    assert_eq!(socket.disconnect().await.int("order").unwrap(), 101);
}

#[tokio::test]
async fn fragments_are_put_together_around_control_frames() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    // The euro sign is cut in the middle.
    socket
        .client
        .send(Frame::part(TEXT, b"5 \xe2", false).masked())
        .await;
    socket.client.send(Frame::ping("between").masked()).await;
    socket
        .client
        .send(Frame::part(CONTINUATION, b"\x82", false).masked())
        .await;
    socket
        .client
        .send(Frame::part(CONTINUATION, b"", false).masked())
        .await;
    socket
        .client
        .send(Frame::part(CONTINUATION, b"\xac!", true).masked())
        .await;
    assert_eq!(socket.client.frame().await, Frame::pong("between"));
    let message = socket.received().await;
    assert_eq!(message.text("text").unwrap(), "5 \u{20ac}!");
    assert_eq!(message.int("order").unwrap(), 1);
    let start = Frame::part(BINARY, b"a", false).masked();
    let end = Frame::part(CONTINUATION, b"b", true).masked();
    socket.client.send([start, end].concat()).await;
    assert_eq!(socket.received().await.bytes("bytes").unwrap(), &b"ab"[..]);
}

#[tokio::test]
async fn empty_frames_in_both_directions() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    socket.client.send(Frame::text("").masked()).await;
    assert_eq!(socket.received().await.text("text").unwrap(), "");
    socket.client.send(Frame::binary([]).masked()).await;
    assert_eq!(socket.received().await.bytes("bytes").unwrap(), &b""[..]);
    socket.reply(message! { "text" => "" }).await;
    assert_eq!(socket.client.frame().await, Frame::text(""));
    socket.reply(message! { "bytes" => b"" }).await;
    assert_eq!(socket.client.frame().await, Frame::binary([]));
    // An empty value beside another one is no frame of its own.
    socket
        .reply(message! { "text" => "t", "bytes" => b"" })
        .await;
    assert_eq!(socket.client.frame().await, Frame::text("t"));
    socket.expect_silence_then_alive().await;
}

#[tokio::test]
async fn frames_of_every_length_form() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    for length in [1, 125, 126, 127, 65_535, 65_536, 300_000] {
        let content = vec![b'z'; length];
        socket
            .client
            .send(Frame::binary(content.clone()).masked())
            .await;
        assert_eq!(socket.received().await.bytes("bytes").unwrap(), &content);
        socket.reply(message! { "bytes" => content.clone() }).await;
        assert_eq!(socket.client.frame().await, Frame::binary(content));
    }
}

#[tokio::test]
async fn a_frame_in_single_bytes_is_understood() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    for byte in Frame::text("slowly").masked() {
        socket.client.send([byte]).await;
    }
    assert_eq!(socket.received().await.text("text").unwrap(), "slowly");
}

#[tokio::test]
async fn pings_are_answered_and_pongs_ignored() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    socket.client.send(Frame::pong("unasked").masked()).await;
    for payload in ["", "p", &"x".repeat(125)] {
        socket.client.send(Frame::ping(payload).masked()).await;
        let pong = socket.client.frame().await;
        assert_eq!(pong.opcode(), PONG);
        assert_eq!(pong.payload, payload.as_bytes());
    }
    socket.client.send(Frame::text("data").masked()).await;
    let message = socket.received().await;
    assert_eq!(
        message.int("order").unwrap(),
        1,
        "control frames are not counted"
    );
}

#[tokio::test]
async fn frames_of_the_application_arrive_in_order() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    let app = socket.app.clone();
    let connect = socket.connect.clone();
    let sending = tokio::spawn(async move {
        for number in 0..1_000 {
            app.reply(&connect, message! { "text" => format!("{number}") })
                .await;
        }
    });
    for number in 0..1_000 {
        assert_eq!(
            socket.client.frame().await,
            Frame::text(&format!("{number}"))
        );
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn bad_replies_are_ignored_and_the_socket_stays() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    for bad in [
        message! { "text" => "t", "bytes" => b"b" },
        message! { "text" => "t", "foo" => 1 },
        message! { "text" => b"bytes" },
        message! { "bytes" => "text" },
        message! { "text" => 5 },
        message! { "close" => 999 },
        message! { "close" => 1005 },
        message! { "close" => 1006 },
        message! { "close" => 1015 },
        message! { "close" => 2500 },
        message! { "close" => 5000 },
        message! { "close" => -1 },
        message! { "close" => "1000" },
        message! { "accept" => "yes" },
        message! { "status" => 200, "content" => b"http" },
    ] {
        socket.reply(bad).await;
        socket.expect_silence_then_alive().await;
    }
}

#[tokio::test]
async fn a_bad_reply_while_connecting_neither_accepts_nor_rejects() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send(crate::support::websocket::handshake("/", &[]))
        .await;
    let connect = app.next("websocket.connect").await;
    app.reply(
        &connect,
        message! { "accept" => true, "text" => "t", "bytes" => b"b" },
    )
    .await;
    app.reply(&connect, message! { "accept" => true, "foo" => 1 })
        .await;
    app.reply(&connect, message! { "text" => "right" }).await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.frame().await, Frame::text("right"));
}

#[tokio::test]
async fn later_answers_to_the_handshake_have_no_effect() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    for reply in [
        message! {},
        message! { "accept" => true },
        message! { "accept" => false },
        message! { "close" => false },
        message! { "text" => asgiref::Value::Null, "bytes" => asgiref::Value::Null },
        message! { "accept" => true, "subprotocol" => "late" },
    ] {
        socket.reply(reply).await;
    }
    socket.expect_silence_then_alive().await;
}

#[tokio::test]
async fn an_application_may_send_back_what_it_received() {
    let server = TestServer::start().await;
    let mut socket = Socket::open(&server).await;
    socket.client.send(Frame::text("echo").masked()).await;
    let message: Message = socket.received().await;
    socket.reply(message).await;
    assert_eq!(socket.client.frame().await, Frame::text("echo"));
}

#[tokio::test]
async fn many_sockets_do_not_get_each_others_frames() {
    let server = TestServer::start().await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(Socket::open(&server).await);
    }
    for (number, socket) in sockets.iter().enumerate() {
        socket
            .reply(message! { "text" => format!("{number}") })
            .await;
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(
            socket.client.frame().await,
            Frame::text(&format!("{number}"))
        );
    }
}
