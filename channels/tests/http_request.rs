//! What a service sees of an `http.request` message.
#![allow(missing_docs, reason = "tests are named for the rule they check")]

mod http_support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use asgiref::protocol::http::Request as RequestMessage;
use asgiref::protocol::{Address, Headers};
use asgiref::{ByteString, Bytes, Message};
use axum::Router;
use axum::extract::{ConnectInfo, Path, Query, RawPathParams};
use axum::http::{HeaderMap, Method, StatusCode, Uri, Version};
use axum::routing::{any, get as on_get, post};
use channels::http::{AsgiHandler, AsgiRequest, Body, BodyError};
use http_body_util::BodyExt as _;
use http_support::{Site, get};
use proptest::prelude::*;
use serde::Deserialize;

/// A request as a service got it.
struct Seen {
    parts: http::request::Parts,
    body: Result<Bytes, BodyError>,
}

impl Seen {
    fn asgi(&self) -> &AsgiRequest {
        self.parts.extensions.get().expect("always there")
    }

    /// All values of a header, in Latin-1, as CGI joins them.
    fn header(&self, name: &str) -> Option<String> {
        let values = self.parts.headers.get_all(name).iter();
        let values: Vec<String> = values
            .map(|value| value.as_bytes().iter().copied().map(char::from).collect())
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}

type Slot = Arc<Mutex<Option<Seen>>>;

/// A service that only remembers the request.
fn observer() -> (Site, Slot) {
    let slot = Slot::default();
    let seen = slot.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let seen = seen.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            *seen.lock().expect("no panic") = Some(Seen { parts, body });
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        }
    });
    (Site::new(AsgiHandler::new(service)), slot)
}

async fn observe(request: impl Into<Message>) -> Seen {
    let (site, slot) = observer();
    site.consume(request).await;
    let seen = slot.lock().expect("no panic").take();
    seen.expect("the service was called")
}

/// Where this differs from the original, and why.
const DEVIATIONS: [(&str, &str); 4] = [
    (
        "root_path naive prefix",
        "`/apple` does not lie below `/app`",
    ),
    ("root_path equals path", "a URI's path is never empty"),
    (
        "two cookie headers",
        "cookies are joined with `; `, not with `,`",
    ),
    (
        "body str",
        "the message is refused without calling the service",
    ),
];

#[tokio::test(start_paused = true)]
async fn recorded_requests() {
    let vectors = http_support::vectors(include_str!("vectors/ch_asgi_request.json"));
    assert_eq!(vectors.len(), 20);
    for vector in vectors {
        let name = vector["name"].as_str().expect("a name");
        let message = http_support::map(vector["message"].as_object().expect("a message"));
        let (site, slot) = observer();
        for sent in vector["body_channel_messages"].as_array().expect("a list") {
            let chunk = http_support::map(sent[1].as_object().expect("a message"));
            let channel = sent[0].as_str().expect("a channel");
            site.send(channel, Message::from(chunk)).await;
        }
        site.consume(Message::from(message)).await;
        let seen = slot.lock().expect("no panic").take();
        let deviates = DEVIATIONS.iter().any(|(known, _)| *known == name);
        if name == "body str" {
            assert!(seen.is_none(), "{name}");
            continue;
        }
        let seen = seen.expect(name);
        match vector["error"].as_str() {
            Some("RequestAborted: ") => {
                assert!(matches!(seen.body, Err(BodyError::Closed)), "{name}");
            }
            Some("RequestTimeout: ") => {
                assert!(
                    matches!(seen.body, Err(BodyError::Timeout { .. })),
                    "{name}"
                );
            }
            Some(other) => panic!("the recording has a new error, {other}"),
            None => compare(name, deviates, &seen, &vector["result"]),
        }
    }
}

fn compare(name: &str, deviates: bool, seen: &Seen, expected: &serde_json::Value) {
    let text = |key: &str| expected[key].as_str().expect("text");
    let asgi = seen.asgi();
    assert_eq!(seen.parts.method.as_str(), text("method"), "{name}");
    assert_eq!(asgi.path(), text("path"), "{name}");
    assert_eq!(asgi.scheme(), text("scheme"), "{name}");
    assert_eq!(asgi.root_path(), text("script_name"), "{name}");
    let path_info = percent_encoding::percent_decode_str(seen.parts.uri.path());
    let same_path = path_info.decode_utf8_lossy() == text("path_info");
    assert_eq!(
        same_path,
        !(deviates && name.starts_with("root_path")),
        "{name}"
    );
    match http_support::value(&expected["body"]) {
        asgiref::Value::Bytes(body) => {
            assert_eq!(seen.body.as_ref().ok(), Some(&body), "{name}");
        }
        other => panic!("body {other}"),
    }

    let mut headers = 0;
    for (key, value) in expected["META"].as_object().expect("a map") {
        let value = value.as_str().unwrap_or_default();
        let (client, server) = (asgi.client(), asgi.server());
        match key.as_str() {
            "QUERY_STRING" => assert_eq!(seen.parts.uri.query().unwrap_or_default(), value),
            "REMOTE_ADDR" => assert_eq!(client.expect("a client").host, *value, "{name}"),
            "SERVER_NAME" => match server {
                Some(server) => assert_eq!(server.host, *value, "{name}"),
                None => assert_eq!(value, "unknown", "{name}"),
            },
            "SERVER_PORT" => {
                let port = server.map_or(0, |server| server.port);
                assert_eq!(port.to_string(), value, "{name}");
            }
            // Said above, or of no meaning outside WSGI.
            "PATH_INFO" | "REQUEST_METHOD" | "SCRIPT_NAME" | "REMOTE_HOST" | "REMOTE_PORT"
            | "wsgi.multiprocess" | "wsgi.multithread" => {}
            header => {
                headers += 1;
                let field = header.trim_start_matches("HTTP_").replace('_', "-");
                let same_value = seen.header(&field).as_deref() == Some(value);
                let joined = deviates && header == "HTTP_COOKIE";
                assert_eq!(same_value, !joined, "{name}: {header}");
            }
        }
    }
    assert_eq!(headers, seen.parts.headers.keys_len(), "{name}");
}

#[tokio::test]
async fn cookies_of_several_fields_are_joined() {
    let seen = observe(RequestMessage {
        headers: Headers::from([("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]),
        ..get("/")
    })
    .await;
    assert_eq!(seen.header("cookie").as_deref(), Some("a=1; b=2"));
}

#[tokio::test]
async fn repeated_headers_are_kept_apart_and_in_order() {
    let seen = observe(RequestMessage {
        headers: Headers::from([("accept", "a"), ("x", "y"), ("accept", "b")]),
        ..get("/")
    })
    .await;
    let values = seen.parts.headers.get_all("accept");
    assert!(values.iter().eq(["a", "b"]));
}

#[tokio::test]
async fn the_connection_is_known_to_the_service() {
    let seen = observe(RequestMessage {
        http_version: ByteString::from_static("2"),
        scheme: ByteString::from_static("https"),
        client: Some(Address::new("::1", 5)),
        server: Some(Address::new("example.com", 443)),
        ..get("/")
    })
    .await;
    assert_eq!(seen.parts.version, Version::HTTP_2);
    assert_eq!(seen.asgi().scheme(), "https");
    let addr: SocketAddr = "[::1]:5".parse().expect("an address");
    assert_eq!(seen.asgi().client_addr(), Some(addr));
    assert_eq!(seen.asgi().server(), Some(Address::new("example.com", 443)));
    assert_eq!(
        seen.asgi().reply_channel().name(),
        &http_support::REPLY_CHANNEL
    );

    let seen = observe(get("/")).await;
    assert_eq!(seen.parts.version, Version::HTTP_11);
    assert_eq!(seen.asgi().scheme(), "http");
    assert_eq!(seen.asgi().client_addr(), None);
}

#[tokio::test]
async fn the_body_in_the_message_is_not_copied() {
    let body = Bytes::from("the body".repeat(100));
    let seen = observe(RequestMessage {
        body: body.clone(),
        ..get("/")
    })
    .await;
    assert_eq!(seen.body.expect("a body").as_ptr(), body.as_ptr());
}

#[tokio::test]
async fn a_message_that_is_no_request_is_refused_by_status() {
    let (site, slot) = observer();
    let long = format!("/{}", "x".repeat(70_000));
    for (request, status) in [
        (get("no-slash"), 400),
        (get(&long), 414),
        (
            RequestMessage {
                query_string: Bytes::from_static(b"a=\xff"),
                ..get("/")
            },
            400,
        ),
        (
            RequestMessage {
                headers: Headers::from([("bad name", "1")]),
                ..get("/")
            },
            400,
        ),
        (
            RequestMessage {
                headers: Headers::from([("x", "bad\nvalue")]),
                ..get("/")
            },
            400,
        ),
    ] {
        let path = request.path.clone();
        assert_eq!(site.text(request).await.0, status, "{path}");
    }
    assert!(slot.lock().expect("no panic").is_none());
}

async fn path_params(params: RawPathParams) -> String {
    let params = params.iter().map(|(_, value)| value);
    params.collect::<Vec<_>>().join("\n")
}

#[derive(Deserialize)]
struct Order {
    item: String,
    count: u32,
}

fn shop() -> Router {
    Router::new()
        .route(
            "/items/{item}",
            on_get(|Path(item): Path<String>| async move { item }),
        )
        .route(
            "/search",
            on_get(
                |Query(query): Query<BTreeMap<String, String>>| async move { format!("{query:?}") },
            ),
        )
        .route(
            "/orders",
            post(|axum::Json(order): axum::Json<Order>| async move {
                (
                    StatusCode::CREATED,
                    format!("{} x {}", order.count, order.item),
                )
            }),
        )
        .route(
            "/see",
            any(|method: Method, uri: Uri, headers: HeaderMap| async move {
                format!("{method} {uri} {:?}", headers.get("host"))
            }),
        )
        .with_state(())
}

#[tokio::test]
async fn an_axum_router_serves_with_its_extractors() {
    let site = Site::new(AsgiHandler::new(shop()));
    let ok = |text: &str| (200, text.to_owned());
    assert_eq!(site.text(get("/items/tea pot")).await, ok("tea pot"));
    assert_eq!(
        site.text(RequestMessage {
            query_string: Bytes::from("q=a+b%26c&page=2"),
            ..get("/search")
        })
        .await,
        ok(r#"{"page": "2", "q": "a b&c"}"#)
    );
    assert_eq!(
        site.text(RequestMessage {
            method: ByteString::from_static("POST"),
            headers: Headers::from([("content-type", "application/json")]),
            body: Bytes::from(r#"{"item": "tea", "count": 2}"#),
            ..get("/orders")
        })
        .await,
        (201, "2 x tea".to_owned())
    );
    assert_eq!(
        site.text(RequestMessage {
            method: ByteString::from_static("PUT"),
            headers: Headers::from([("host", "example.com")]),
            root_path: ByteString::from_static("/shop"),
            query_string: Bytes::from("a"),
            ..get("/shop/see")
        })
        .await,
        ok(r#"PUT /see?a Some("example.com")"#)
    );
    assert_eq!(site.text(get("/nowhere")).await.0, 404);
    assert_eq!(site.text(get("/orders")).await.0, 405);
}

#[tokio::test]
async fn middleware_gives_axum_its_connect_info() {
    async fn connect_info(mut request: axum::extract::Request) -> axum::extract::Request {
        let client = request
            .extensions()
            .get()
            .and_then(AsgiRequest::client_addr);
        if let Some(client) = client {
            request.extensions_mut().insert(ConnectInfo(client));
        }
        request
    }
    let router = Router::new()
        .route(
            "/",
            on_get(
                |ConnectInfo(client): ConnectInfo<SocketAddr>| async move { client.to_string() },
            ),
        )
        .layer(axum::middleware::map_request(connect_info));
    let site = Site::new(AsgiHandler::new(router));
    let request = RequestMessage {
        client: Some(Address::new("10.0.0.1", 1234)),
        ..get("/")
    };
    assert_eq!(site.text(request).await.1, "10.0.0.1:1234");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the protocol server decoded, the service decodes the same from its URI.
    #[test]
    fn any_path_reaches_the_service_as_it_was(
        text in "\\PC*|[ -~]*|(?s:.*)",
        query in proptest::option::of("[ -~é]*"),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let path = format!("/{text}");
        let query = query.unwrap_or_default();
        let (path, query) = (ByteString::from(path), Bytes::from(query));
        let decoded = runtime.block_on(async {
            let seen = observe(RequestMessage { query_string: query.clone(), ..get(&path) }).await;
            prop_assert_eq!(seen.asgi().path(), &*path);
            let decoded = percent_encoding::percent_decode_str(seen.parts.uri.path());
            prop_assert_eq!(decoded.decode_utf8_lossy(), &*path);
            let decode = |query: &[u8]| percent_encoding::percent_decode(query).collect::<Vec<_>>();
            let seen_query = seen.parts.uri.query().unwrap_or_default();
            prop_assert_eq!(decode(seen_query.as_bytes()), decode(&query));

            let router = Router::new().route("/{*path}", any(path_params));
            let site = Site::new(AsgiHandler::new(router));
            Ok(site.text(get(&path)).await)
        })?;
        // axum's wildcard takes no empty rest.
        let expected = if text.is_empty() { (404, String::new()) } else { (200, text) };
        prop_assert_eq!(decoded, expected);
    }
}
