//! Requests that are none, and requests two servers could read in two ways.

use asgiref::{Message, message};

use crate::get;
use crate::support::app::App;
use crate::support::client::Client;
use crate::support::server::TestServer;

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
    let mut client: Client = server.connect().await;
    client.send(get("/")).await;
    assert_eq!(client.response().await.body, b"good");
}
