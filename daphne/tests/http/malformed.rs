//! Requests that are none, and requests two servers could read in two ways.

use asgiref::{Message, message};

use crate::get;
use crate::support::app::App;
use crate::support::server::TestServer;
use crate::support::within;

/// Requests as bytes, and the statuses allowed in the answer.
const REFUSED: &[(&[u8], &[u16])] = &[
    // The request line.
    (b"GARBAGE\r\n\r\n", &[400]),
    (b"GET /\r\n\r\n", &[400]),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1 extra\r\nHost: a\r\n\r\n", &[400]),
    (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", &[400, 505]),
    (b"GET / HTTP/1.7\r\nHost: a\r\n\r\n", &[400, 505]),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", &[400, 505]),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"GET / FTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"GE T / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS hello\r\n\r\n", &[400]),
    (b"\x00\x00\x00\x00\r\n\r\n", &[400]),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"GET relative HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", &[405]),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505]),
    (b"PRI * HTTP/2.0\r\n\r\n", &[400, 505]),
    // Header lines.
    (b"GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX-Blank : v\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX Y: v\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX(Y): v\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: v\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX-Folded: v\r\n  w\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: v\0w\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: v\rw\r\n\r\n", &[400]),
    // Bytes some parsers take for the end of a line or for a blank.
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: v\x0bContent-Length: 5\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: v\x0cContent-Length: 5\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: v\x1cContent-Length: 5\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: v\x1dContent-Length: 5\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: v\x1eContent-Length: 5\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: v\x7fw\r\n\r\n", &[400]),
    // The length of the body.
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabc", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", &[400, 413]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n", &[400, 413]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551614\r\n\r\n", &[400, 413]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 3\r\n\r\nabc", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc", &[400, 501]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\nabc", &[400, 501]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\nabc", &[400, 501]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\nabc", &[400, 501]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", &[400]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", &[501]),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[501]),
    (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    // The host.
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\n\r\n", &[400]),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", &[400]),
];

#[tokio::test]
async fn malformed_requests_are_refused_and_the_server_goes_on() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut failures = Vec::new();
    for (request, statuses) in REFUSED {
        let mut client = server.connect().await;
        client.send(request).await;
        let outcome = tokio::select! {
            head = client.head() => {
                let ends = head.header("connection") == Some("close");
                if statuses.contains(&head.status) && ends {
                    continue;
                }
                format!("{} {:?}", head.status, head.header("connection"))
            }
            message = app.request() => format!("the message {message}"),
        };
        failures.push(format!("{}\n    led to {outcome}", request.escape_ascii()));
    }
    server.expect_serving().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn nothing_after_a_malformed_request_is_served() {
    let server = TestServer::start().await;
    let app = server.app();
    for (request, _) in REFUSED {
        let mut client = server.connect().await;
        let mut bytes = request.to_vec();
        bytes.extend(get("/smuggled").bytes());
        let _ = client.try_send(bytes).await;
        let rest = client.rest().await;
        assert_eq!(
            rest.windows(5).filter(|window| window == b"HTTP/").count(),
            1,
            "{} was answered with {}",
            request.escape_ascii(),
            rest.escape_ascii()
        );
    }
    server.expect_serving().await;
    assert!(app.pending().await.is_empty());
}

#[tokio::test]
async fn malformed_chunks_are_refused() {
    let server = TestServer::start().await;
    let app = server.app();
    for chunks in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    ] {
        let mut client = server.connect().await;
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
            ))
            .await;
        let rest = tokio::select! {
            rest = client.rest() => rest,
            // The server may have handed the request over before it read the chunks.
            () = fail_upload(&app) => client.rest().await,
        };
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 400 "),
            "{chunks:?} led to {}",
            rest.escape_ascii()
        );
    }
    server.expect_serving().await;
}

/// Receives a request whose body must turn out to be cut off.
async fn fail_upload(app: &App) {
    let request = app.request().await;
    assert!(
        app.upload(&request).await.closed,
        "a malformed body was taken for a whole one"
    );
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let server =
        TestServer::configured(|builder| builder.max_header_size(16 * 1024).max_headers(100)).await;
    let app = server.app();
    let many: String = (0..101)
        .map(|number| format!("X-{number}: 1\r\n"))
        .collect();
    for (what, request, statuses) in [
        (
            "line",
            get(&format!("/{}", "a".repeat(20_000))),
            [414, 431, 400],
        ),
        (
            "header",
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "b".repeat(20_000)
            ),
            [431, 431, 400],
        ),
        (
            "number of headers",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
            [431, 431, 400],
        ),
    ] {
        let mut client = server.connect().await;
        let _ = client.try_send(request).await;
        let head = client.head().await;
        assert!(statuses.contains(&head.status), "{what}: {head:?}");
    }
    server.expect_serving().await;
    assert!(app.pending().await.is_empty());
}

#[tokio::test]
async fn heads_within_the_limits_are_served() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    let headers: String = (0..90)
        .map(|number| format!("X-{number}: {number}\r\n"))
        .collect();
    client
        .send(format!(
            "GET /{} HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n",
            "a".repeat(4_000)
        ))
        .await;
    let request = app.request().await;
    assert_eq!(request.text("path").unwrap().len(), 4_001);
    assert_eq!(request.list("headers").unwrap().len(), 91);
}

#[tokio::test]
async fn after_a_thousand_garbage_connections_a_good_one_works() {
    let server = TestServer::start().await;
    let _app = server.app().serve(|app: App, request: Message| async move {
        app.reply(&request, message! { "status" => 200, "content" => b"good" })
            .await;
    });
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..1_000 {
        let mut client = server.connect().await;
        let garbage: Vec<u8> = (0..number % 200 + 1)
            .map(|_| {
                // Xorshift: the same garbage in every run.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        let _ = client.try_send(&garbage).await;
        match number % 3 {
            0 => client.abort(),
            1 => drop(client),
            // A head that never ends gets no answer; the others do.
            _ => {
                let _ = client.try_send("\r\n\r\n").await;
                client.finish_sending().await;
                client.rest().await;
            }
        }
    }
    let mut client = server.connect().await;
    client.send(get("/")).await;
    assert_eq!(client.response().await.body, b"good");
    drop(client);
    server.expect_idle().await;
}

#[tokio::test]
async fn endless_chunk_extensions_and_trailers_are_refused() {
    let server = TestServer::start().await;
    let app = server.app();
    for endless in [
        "3;a=",
        "0\r\nX-Trailer: ",
        "0\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: ",
    ] {
        let mut client = server.connect().await;
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{endless}"
            ))
            .await;
        let refused = within("the server to lose its patience", async {
            while client.try_send([b'x'; 4_096]).await.is_ok() {}
        });
        tokio::select! {
            () = refused => {}
            () = fail_upload(&app) => {}
        }
        drop(client);
    }
    server.expect_serving().await;
    server.expect_idle().await;
}
