//! What a request becomes: the `http.request` message.

use asgiref::protocol::http::Request;
use asgiref::{Message, Value, message};

use crate::support::server::TestServer;

/// The message a request leads to.
async fn message_for(server: &TestServer, request: &str) -> Message {
    let app = server.app();
    let mut client = server.connect().await;
    client.send(request).await;
    let message = app.request().await;
    app.reply(&message, message! { "status" => 204 }).await;
    assert_eq!(client.response().await.head.status, 204);
    message
}

#[tokio::test]
async fn every_key_has_the_type_the_format_prescribes() {
    let server = TestServer::start().await;
    let message = message_for(
        &server,
        "POST /p%20q?a=1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    let request = Request::try_from(&message).expect("a valid message");
    assert_eq!(request.method, "POST");
    assert_eq!(request.http_version, "1.1");
    assert_eq!(request.scheme, "http");
    assert_eq!(request.path, "/p q");
    assert_eq!(request.query_string, "a=1");
    assert_eq!(request.root_path, "");
    assert_eq!(request.body, "hi");
    assert_eq!(request.headers.get("host").unwrap(), "a.example");
    let address = request.server.expect("the server's address");
    assert_eq!(address.host, "127.0.0.1");
    assert_eq!(address.port, server.addr().port());
    assert_eq!(
        request.client.expect("the client's address").host,
        "127.0.0.1"
    );
    for (key, value) in &message {
        let known = match key.as_ref() as &str {
            "reply_channel" | "http_version" | "method" | "scheme" | "path" | "root_path" => {
                value.as_text().is_some()
            }
            "query_string" | "body" => value.as_bytes().is_some(),
            "headers" | "client" | "server" => value.as_list().is_some(),
            "body_channel" => value.is_null(),
            _ => false,
        };
        assert!(known, "key {key} is {value:?}");
    }
}

#[tokio::test]
async fn reply_channels_are_unique_and_of_one_process() {
    let server = TestServer::start().await;
    let mut names = std::collections::BTreeSet::new();
    let mut processes = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let message = message_for(&server, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let channel = message.channel("reply_channel").unwrap();
        assert!(
            channel.non_local().starts_with("daphne.response."),
            "{channel}"
        );
        assert!(
            channel.as_str().len() < 100,
            "Python peers take no longer names"
        );
        processes.insert(channel.non_local().to_owned());
        names.insert(channel);
    }
    assert_eq!(names.len(), 100);
    assert_eq!(processes.len(), 1);
}

#[tokio::test]
async fn header_names_are_lower_case_and_values_are_stripped() {
    let server = TestServer::start().await;
    let message = message_for(
        &server,
        "GET / HTTP/1.1\r\nHOST: a.example\r\nX-Padded: \t value \t\r\nX-EMPTY:\r\n\
         X-Bytes: caf\u{e9}\r\n\r\n",
    )
    .await;
    let headers = Request::try_from(&message).unwrap().headers;
    assert_eq!(headers.get("host").unwrap(), "a.example");
    assert_eq!(headers.get("x-padded").unwrap(), "value");
    assert_eq!(headers.get("x-empty").unwrap(), "");
    assert_eq!(headers.get("x-bytes").unwrap(), "caf\u{e9}");
}

#[tokio::test]
async fn repeated_headers_stay_separate_and_in_order() {
    let server = TestServer::start().await;
    let message = message_for(
        &server,
        "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\nCookie: a=1\r\nX-A: 2\r\nCookie: b=2\r\n\
         X-A: 1\r\n\r\n",
    )
    .await;
    let headers = Request::try_from(&message).unwrap().headers;
    assert_eq!(headers.get_all("x-a").collect::<Vec<_>>(), ["1", "2", "1"]);
    assert_eq!(
        headers.get_all("cookie").collect::<Vec<_>>(),
        ["a=1", "b=2"]
    );
}

#[tokio::test]
async fn headers_with_an_underscore_are_dropped() {
    // `x_user` and `x-user` would become the same CGI variable.
    let server = TestServer::start().await;
    let message = message_for(
        &server,
        "GET / HTTP/1.1\r\nHost: a.example\r\nX_User: forged\r\nX-Real: 1\r\n\r\n",
    )
    .await;
    let headers = Request::try_from(&message).unwrap().headers;
    assert!(headers.get("x_user").is_none());
    assert_eq!(headers.get("x-real").unwrap(), "1");
}

#[tokio::test]
async fn the_target_is_split_and_decoded() {
    let server = TestServer::start().await;
    for (target, path, query) in [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a%2Fb/%2e%2e/c+d", "/a/b/../c+d", ""),
        ("/%E2%82%AC", "/\u{20ac}", ""),
        ("/%ff%zz%", "/\u{fffd}%zz%", ""),
        ("/nul%00byte", "/nul\0byte", ""),
        ("//double//slash", "//double//slash", ""),
        ("/p;v=1?x=%41&y=?", "/p;v=1", "x=%41&y=?"),
        ("http://other.example/abs?x", "/abs", "x"),
        ("http://other.example", "/", ""),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let message = message_for(&server, &request).await;
        assert_eq!(message.text("path").unwrap(), path, "path of {target}");
        assert_eq!(
            message.bytes("query_string").unwrap(),
            query,
            "query of {target}"
        );
    }
}

#[tokio::test]
async fn the_root_path_is_the_configured_one() {
    let server = TestServer::configured(|builder| builder.root_path("/mounted")).await;
    let message = message_for(
        &server,
        "GET /mounted/a HTTP/1.1\r\nHost: a.example\r\nDaphne-Root-Path: /forged\r\n\r\n",
    )
    .await;
    assert_eq!(message.text("root_path").unwrap(), "/mounted");
    assert_eq!(message.text("path").unwrap(), "/mounted/a");
}

#[tokio::test]
async fn methods_are_passed_on_as_they_are() {
    let server = TestServer::start().await;
    for method in ["DELETE", "PROPFIND", "OPTIONS"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let message = message_for(&server, &request).await;
        assert_eq!(message.get("method"), Some(&Value::from(method)));
    }
}

#[tokio::test]
async fn a_path_that_is_not_ascii_is_refused_and_the_connection_goes_on() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client
        .send("GET /caf\u{e9} HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    assert_eq!(client.response().await.head.status, 400);
    client
        .send("GET /caf%C3%A9 HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .await;
    let request = app.request().await;
    assert_eq!(request.text("path").unwrap(), "/caf\u{e9}");
}
