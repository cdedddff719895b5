//! Who the client is when a proxy stands in between.

mod support;

use asgiref::{Message, Value, message};
use daphne::ServerBuilder;
use support::server::TestServer;
use support::websocket::handshake;

/// The message a request with `headers` leads to, and the port it came from.
async fn forwarded(
    configure: impl FnOnce(ServerBuilder) -> ServerBuilder,
    headers: &[&str],
) -> (Message, u16) {
    let server = TestServer::configured(configure).await;
    let mut client = server.connect().await;
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    client
        .send(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n"))
        .await;
    let app = server.app();
    let request = app.request().await;
    app.reply(&request, message! { "status" => 204 }).await;
    assert_eq!(client.response().await.head.status, 204);
    (request, client.local_addr().port())
}

fn address(host: &str, port: u16) -> Value {
    Value::from(vec![Value::from(host), Value::from(port)])
}

#[tokio::test]
async fn without_the_option_nothing_is_believed() {
    let (request, port) = forwarded(
        |builder| builder,
        &[
            "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-Port: 99",
            "X-Forwarded-Proto: https",
            "Daphne-Root-Path: /forged",
        ],
    )
    .await;
    assert_eq!(request.get("client"), Some(&address("127.0.0.1", port)));
    assert_eq!(request.text("scheme").unwrap(), "http");
    assert_eq!(request.text("root_path").unwrap(), "");
}

#[tokio::test]
async fn the_forwarded_address_is_the_client() {
    // The cases of the original's `TestXForwardedForHttpParsing`.
    for (headers, host, port) in [
        (
            &["X-Forwarded-For: 10.1.2.3", "X-Forwarded-Port: 1234"][..],
            "10.1.2.3",
            1234,
        ),
        (&["X-Forwarded-For: 10.1.2.3"], "10.1.2.3", 0),
        (
            &["X-Forwarded-For: 1043::a321:0001, 10.0.5.6"],
            "1043::a321:1",
            0,
        ),
        (&["X-Forwarded-For: 10.1.2.3, 10.1.2.4"], "10.1.2.3", 0),
        (&["X-Forwarded-For:   10.1.2.3   ,10.1.2.4"], "10.1.2.3", 0),
        (
            &["X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2"],
            "1.1.1.1",
            0,
        ),
        (&["X-Forwarded-For: 1.2.3.4:555"], "1.2.3.4", 555),
        (&["X-Forwarded-For: [::1]:555"], "::1", 555),
        (
            &["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Port: none"],
            "1.2.3.4",
            0,
        ),
        (
            &["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Port: 70000"],
            "1.2.3.4",
            0,
        ),
    ] {
        let (request, _) = forwarded(|builder| builder.proxy_headers(true), headers).await;
        assert_eq!(
            request.get("client"),
            Some(&address(host, port)),
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_address_leaves_the_peer_the_client() {
    for headers in [
        &[][..],
        &["X-Forwarded-For:"],
        &["X-Forwarded-For: unknown"],
        &["X-Forwarded-For: _hidden, 1.2.3.4"],
        &["X-Forwarded-Port: 99"],
    ] {
        let (request, port) = forwarded(|builder| builder.proxy_headers(true), headers).await;
        assert_eq!(
            request.get("client"),
            Some(&address("127.0.0.1", port)),
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn the_forwarded_protocol_is_the_scheme() {
    for (value, scheme) in [
        ("https", "https"),
        ("HTTPS", "https"),
        ("https, http", "https"),
        ("http", "http"),
        ("gopher", "http"),
        ("", "http"),
    ] {
        let header = format!("X-Forwarded-Proto: {value}");
        let (request, _) = forwarded(
            |builder| builder.proxy_headers(true),
            &["X-Forwarded-For: 1.2.3.4", &header],
        )
        .await;
        assert_eq!(request.text("scheme").unwrap(), scheme, "{value:?}");
    }
}

#[tokio::test]
async fn the_root_path_of_the_proxy_counts() {
    let (request, _) = forwarded(
        |builder| builder.proxy_headers(true).root_path("/configured"),
        &["Daphne-Root-Path: /from%20proxy"],
    )
    .await;
    assert_eq!(request.text("root_path").unwrap(), "/from proxy");
    let names: Vec<&Value> = request
        .list("headers")
        .unwrap()
        .iter()
        .map(|pair| &pair.as_list().unwrap()[0])
        .collect();
    assert!(
        !names.contains(&&Value::from(b"daphne-root-path")),
        "{names:?}"
    );
}

#[tokio::test]
async fn proxies_that_are_not_trusted_are_not_believed() {
    let headers = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"];
    let (request, port) = forwarded(
        |builder| builder.proxy_headers(true).trusted_proxy("10.0.0.0/8"),
        &headers,
    )
    .await;
    assert_eq!(request.get("client"), Some(&address("127.0.0.1", port)));
    assert_eq!(request.text("scheme").unwrap(), "http");
    let (request, _) = forwarded(
        |builder| {
            builder
                .proxy_headers(true)
                .trusted_proxy("10.0.0.0/8")
                .trusted_proxy("127.0.0.0/8")
        },
        &headers,
    )
    .await;
    assert_eq!(request.get("client"), Some(&address("1.2.3.4", 0)));
    assert_eq!(request.text("scheme").unwrap(), "https");
}

#[tokio::test]
async fn websockets_have_the_forwarded_client_and_scheme() {
    let server = TestServer::configured(|builder| builder.proxy_headers(true)).await;
    let app = server.app();
    for (protocol, scheme) in [
        ("https", "wss"),
        ("wss", "wss"),
        ("http", "ws"),
        ("ws", "ws"),
    ] {
        let mut client = server.connect().await;
        let header = format!("X-Forwarded-Proto: {protocol}");
        client
            .send(handshake(
                "/",
                &["X-Forwarded-For: 9.9.9.9", "X-Forwarded-Port: 7", &header],
            ))
            .await;
        let connect = app.next("websocket.connect").await;
        assert_eq!(connect.get("client"), Some(&address("9.9.9.9", 7)));
        assert_eq!(connect.text("scheme").unwrap(), scheme);
    }
}
