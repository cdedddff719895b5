//! What becomes of response messages.

use asgiref::{Message, Value, message};

use crate::get;
use crate::support::client::Client;
use crate::support::http::{Framing, Response};
use crate::support::server::TestServer;

/// A header field as it stands in a message.
fn field(name: &str, value: impl AsRef<[u8]>) -> Value {
    Value::from([Value::from(name.as_bytes()), Value::from(value.as_ref())])
}

/// Sends a GET request, answers it with `replies` and returns the response.
async fn answered(server: &TestServer, client: &mut Client, replies: Vec<Message>) -> Response {
    client.send(get("/")).await;
    let app = server.app();
    let request = app.request().await;
    for reply in replies {
        app.reply(&request, reply).await;
    }
    client.response().await
}

#[tokio::test]
async fn a_whole_response_in_one_message() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let reply = message! {
        "status" => 201,
        "headers" => [field("content-type", "text/plain"), field("x-one", "1")],
        "content" => b"made",
    };
    let response = answered(&server, &mut client, vec![reply]).await;
    assert_eq!(response.head.version, "HTTP/1.1");
    assert_eq!(response.head.status, 201);
    assert_eq!(response.head.reason, "Created");
    assert_eq!(response.head.header("content-type"), Some("text/plain"));
    assert_eq!(response.head.header("x-one"), Some("1"));
    assert_eq!(response.body, b"made");
}

#[tokio::test]
async fn only_the_status_is_required() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let response = answered(&server, &mut client, vec![message! { "status" => 200 }]).await;
    assert_eq!(response.head.status, 200);
    assert_eq!(response.body, b"");
}

#[tokio::test]
async fn values_of_one_header_keep_their_order() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let reply = message! {
        "status" => 200,
        "headers" => [
            field("Set-Cookie", "a=1; Path=/"),
            field("x-between", "1"),
            field("set-cookie", "b=2"),
            field("SET-COOKIE", "a=3"),
        ],
    };
    let response = answered(&server, &mut client, vec![reply]).await;
    assert_eq!(
        response.head.all("set-cookie"),
        ["a=1; Path=/", "b=2", "a=3"]
    );
}

#[tokio::test]
async fn every_status_from_200_to_599_is_transmitted() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    for status in 200..600 {
        let reply = message! { "status" => status, "content" => b"body" };
        let response = answered(&server, &mut client, vec![reply]).await;
        assert_eq!(i32::from(response.head.status), status);
        let has_body = status != 204 && status != 304;
        assert_eq!(response.body, if has_body { &b"body"[..] } else { b"" });
    }
}

#[tokio::test]
async fn each_part_of_a_streamed_response_is_sent_at_once() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(get("/stream")).await;
    let request = app.request().await;
    app.reply(
        &request,
        message! { "status" => 200, "more_content" => true },
    )
    .await;
    let head = client.head().await;
    assert_eq!(head.framing("GET"), Framing::Chunked);
    for number in 0..50 {
        let part = format!("part {number}.");
        let reply = message! { "content" => part.clone().into_bytes(), "more_content" => true };
        app.reply(&request, reply).await;
        client.expect_chunk(part.as_bytes()).await;
    }
    app.reply(&request, message! { "content" => b"" }).await;
    client.expect_chunk(b"").await;
}

#[tokio::test]
async fn an_empty_part_does_not_end_a_response() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let replies = vec![
        message! { "status" => 200, "content" => b"", "more_content" => true },
        message! { "content" => b"a", "more_content" => true },
        message! { "content" => b"", "more_content" => true },
        message! { "content" => b"b" },
    ];
    let response = answered(&server, &mut client, replies).await;
    assert_eq!(response.body, b"ab");
}

#[tokio::test]
async fn a_streamed_response_with_a_length_is_not_chunked() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let replies = vec![
        message! {
            "status" => 200,
            "headers" => [field("content-length", "6")],
            "content" => b"abc",
            "more_content" => true,
        },
        message! { "content" => b"def" },
    ];
    let response = answered(&server, &mut client, replies).await;
    assert_eq!(response.head.header("content-length"), Some("6"));
    assert_eq!(response.body, b"abcdef");
    server.expect_serving().await;
}

#[tokio::test]
async fn a_response_shorter_than_its_length_ends_the_connection() {
    // Anything else would let the client take the next response for the rest of this one.
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(get("/short")).await;
    let request = app.request().await;
    let start = message! {
        "status" => 200,
        "headers" => [field("content-length", "6")],
        "content" => b"abc",
        "more_content" => true,
    };
    app.reply(&request, start).await;
    app.reply(&request, message! { "content" => b"d" }).await;
    client.head().await;
    let rest = client.rest().await;
    assert!(b"abcd".starts_with(&rest[..]), "{}", rest.escape_ascii());
    server.expect_serving().await;
}

#[tokio::test]
async fn a_response_is_never_longer_than_its_length() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(get("/long")).await;
    let request = app.request().await;
    let start = message! {
        "status" => 200,
        "headers" => [field("content-length", "3")],
        "content" => b"abc",
        "more_content" => true,
    };
    app.reply(&request, start).await;
    app.reply(
        &request,
        message! { "content" => b"HTTP/1.1 200 OK\r\n\r\n" },
    )
    .await;
    client.head().await;
    assert_eq!(client.exactly(3).await, b"abc");
    // Either the connection ends or it carries the next response, not the surplus.
    let _ = client.try_send(get("/next")).await;
    tokio::select! {
        rest = client.rest() => assert!(rest.is_empty(), "{}", rest.escape_ascii()),
        next = app.request() => {
            app.reply(&next, message! { "status" => 200, "content" => b"next" }).await;
            assert_eq!(client.response().await.body, b"next");
        }
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn head_204_and_304_have_no_body() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404)] {
        client
            .send(format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n"))
            .await;
        let request = app.request().await;
        let start = message! { "status" => status, "content" => b"not ", "more_content" => true };
        app.reply(&request, start).await;
        app.reply(&request, message! { "content" => b"sent" }).await;
        let response = client.response_to(method).await;
        assert_eq!(i32::from(response.head.status), status);
        assert_eq!(response.body, b"", "{method} {status}");
    }
    // Had there been a body, this would not be found.
    client.send(get("/after")).await;
    let request = app.request().await;
    app.reply(
        &request,
        message! { "status" => 200, "content" => b"after" },
    )
    .await;
    assert_eq!(client.response().await.body, b"after");
}

#[tokio::test]
async fn the_length_given_with_the_answer_to_head_is_kept() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send("HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let request = app.request().await;
    let reply = message! { "status" => 200, "headers" => [field("content-length", "1234")] };
    app.reply(&request, reply).await;
    let response = client.response_to("HEAD").await;
    assert_eq!(response.head.header("content-length"), Some("1234"));
}

#[tokio::test]
async fn messages_after_the_end_of_a_response_are_dropped() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    for number in 0..3 {
        let replies = vec![
            message! { "status" => 200, "content" => format!("{number}").into_bytes() },
            message! { "content" => b"late" },
            message! { "status" => 200, "content" => b"later" },
        ];
        let response = answered(&server, &mut client, replies).await;
        assert_eq!(response.body, format!("{number}").into_bytes());
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn replies_to_unknown_channels_are_dropped() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(get("/")).await;
    let request = app.request().await;
    let channel = request.channel("reply_channel").unwrap();
    for local in ["", "x", "0123456789", "-._", &"a".repeat(100)] {
        let unknown = channel.with_local_part(local).unwrap();
        app.reply_on(&unknown, message! { "status" => 200 }).await;
    }
    app.reply(&request, message! { "status" => 200, "content" => b"mine" })
        .await;
    assert_eq!(client.response().await.body, b"mine");
}

#[tokio::test]
async fn a_second_status_is_refused_and_the_response_goes_on() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let replies = vec![
        message! { "status" => 200, "content" => b"a", "more_content" => true },
        message! { "status" => 500, "content" => b"lost" },
        message! { "content" => b"b" },
    ];
    let response = answered(&server, &mut client, replies).await;
    assert_eq!(response.head.status, 200);
    assert_eq!(response.body, b"ab");
}

#[tokio::test]
async fn a_bad_first_message_is_answered_with_500() {
    let server = TestServer::start().await;
    let app = server.app();
    for bad in [
        message! { "content" => b"no status" },
        message! {},
        message! { "status" => "200" },
        message! { "status" => 99 },
        message! { "status" => 1000 },
        message! { "status" => -1 },
        message! { "status" => i64::MAX },
        message! { "status" => 200, "content" => "text" },
        message! { "status" => 200, "headers" => "x: y" },
        message! { "status" => 200, "headers" => [Value::from("x: y")] },
        message! { "status" => 200, "headers" => [field("bad name", "v")] },
        message! { "status" => 200, "headers" => [field("", "v")] },
        message! { "status" => 200, "headers" => [field("x-a", b"v\0w")] },
        message! { "status" => 200, "headers" => [field("x-a", "v\nset-cookie: forged=1")] },
        message! { "status" => 200, "headers" => [field("x-a", "v\r\n\r\nHTTP/1.1 200 OK")] },
        message! { "status" => 200, "headers" => [field("x-a\r\nx-b", "v")] },
        message! { "status" => 200, "more_content" => "yes" },
        message! { "status" => 101 },
    ] {
        let mut client = server.connect().await;
        client.send(get("/bad")).await;
        let request = app.request().await;
        app.reply(&request, bad.clone()).await;
        let response = client.response().await;
        assert_eq!(response.head.status, 500, "{bad}");
        let head = format!("{:?}", response.head);
        assert!(!head.contains("forged"), "{head}");
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn a_bad_later_message_breaks_the_response_off() {
    // Left out silently, it would make a response that only looks complete.
    let server = TestServer::start().await;
    let app = server.app();
    for bad in [
        message! { "content" => "text", "more_content" => true },
        message! { "content" => b"b", "more_content" => 7 },
        message! { "content" => 5 },
    ] {
        let mut client = server.connect().await;
        client.send(get("/")).await;
        let request = app.request().await;
        let start = message! { "status" => 200, "content" => b"a", "more_content" => true };
        app.reply(&request, start).await;
        client.head().await;
        client.expect_chunk(b"a").await;
        app.reply(&request, bad).await;
        app.reply(&request, message! { "content" => b"c" }).await;
        client.expect_end().await;
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn framing_headers_of_the_application_cannot_split_a_response() {
    let server = TestServer::start().await;
    let app = server.app();
    for headers in [
        vec![field("transfer-encoding", "chunked")],
        vec![field("transfer-encoding", "gzip")],
        vec![field("content-length", "1"), field("content-length", "5")],
        vec![
            field("content-length", "5"),
            field("transfer-encoding", "chunked"),
        ],
        vec![
            field("connection", "keep-alive"),
            field("keep-alive", "timeout=1"),
        ],
    ] {
        let mut client = server.connect().await;
        client.send(get("/")).await;
        let request = app.request().await;
        let reply = message! {
            "status" => 200,
            "headers" => Value::List(headers.clone()),
            "content" => b"12345",
        };
        app.reply(&request, reply).await;
        // Panics if there is a length beside the chunks, or several lengths.
        let response = client.response().await;
        assert!(
            response.head.status == 500 || response.body == b"12345",
            "{headers:?} led to {response:?}"
        );
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn a_large_response_arrives_whole() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let reply = message! { "status" => 200, "content" => body.clone() };
    let response = answered(&server, &mut client, vec![reply]).await;
    assert_eq!(response.body, body);
}
