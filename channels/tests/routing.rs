//! Which consumer a message goes to.

mod support;

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use asgiref::protocol::{http, websocket};
use asgiref::{ChannelName, InMemoryChannelLayer, Message, Value, message};
use channels::{
    Context, DefaultRoutes, Error, Middleware, Next, Outcome, Route, Router, Worker, include, route,
};
use serde_json::Value as Json;
use support::{drain, layer, message_from, name, send, vectors};

async fn c1() {}
async fn c2() {}
async fn c3() {}

/// The routings that the vectors describe in words.
fn routing(description: &str) -> Router {
    let start = description.split([':', ';']).next().unwrap();
    match start {
        r#"include(inner, path="^/ws/v(?P<version>[0-9]+)")"# => {
            let inner = Router::new()
                .route(route("websocket.connect", c2).path("^/chat/(?P<room>[^/]+)/$"))
                .route(route("websocket.connect", c3).path("^/mentions/$"));
            Router::new().include(include(inner).path("^/ws/v(?P<version>[0-9]+)"))
        }
        r#"include(inner2, path="^/x/(?P<a>[0-9]+)", method="(?P<b>GET|POST)")"# => {
            let inner = Router::new().route(route("http.request", c1).path("^/(?P<a>[a-z]+)$"));
            let included = include(inner)
                .path("^/x/(?P<a>[0-9]+)")
                .prefix("method", "(?P<b>GET|POST)");
            Router::new().include(included)
        }
        "nested include" => {
            let inner = Router::new().route(route("websocket.connect", c1).path("^/c$"));
            let middle = Router::new().include(include(inner).path("^/b"));
            Router::new().include(include(middle).path("^/a"))
        }
        "optional group" => {
            Router::new().route(route("websocket.connect", c1).path("^/x(?:/(?P<opt>[0-9]+))?$"))
        }
        "match (not search, not full)" => Router::new()
            .route(route("websocket.connect", c1).path("chat"))
            .route(route("websocket.connect", c2).path("/chat")),
        "multi channel list" => Router::new()
            .route(route(["a", "b"], c1))
            .route(route("a", c2)),
        "two filters AND" => Router::new().route(
            route("email.receive", c1)
                .filter("to_address", r".*@example.com$")
                .filter("subject", "^reply"),
        ),
        unknown => panic!("no routing for {unknown:?}"),
    }
}

/// What the vectors call a match: the consumer's name and the captures, or null.
fn find(router: &Router, channel: &str, message: &Message) -> Json {
    let Some(found) = router.find(&name(channel), message) else {
        return Json::Null;
    };
    let consumer = found.consumer().rsplit("::").next().unwrap();
    let params = found.params().iter();
    let params: serde_json::Map<String, Json> = params
        .map(|(name, value)| (name.to_owned(), value.map_or(Json::Null, Json::from)))
        .collect();
    serde_json::json!([consumer, params])
}

#[test]
fn recorded_routings_give_the_recorded_matches() {
    let mut tests = 0;
    for vector in vectors("ch_routing") {
        let router = routing(vector["routing"].as_str().unwrap());
        let channels: Vec<_> = router.channel_names().into_iter().collect();
        let channels: Vec<_> = channels.iter().map(ChannelName::as_str).collect();
        assert_eq!(Json::from(channels), vector["channels"]);
        for test in vector["tests"].as_array().unwrap() {
            let message = message_from(&test["content"]);
            let found = find(&router, test["channel"].as_str().unwrap(), &message);
            assert_eq!(found, test["match"], "{router}{test}");
            tests += 1;
        }
    }
    assert_eq!(tests, 25);
}

#[test]
fn values_that_are_not_text_do_not_match_and_do_no_harm() {
    let router = Router::new().route(route("test", c1).filter("key", ".*"));
    let values = [
        Value::Null,
        Value::from(true),
        Value::from(1001),
        Value::from(0.5),
        Value::from(b"\xff\xfe"),
        Value::from("ünï".as_bytes()),
        Value::from([1, 2]),
        Value::from(message! { "a" => 1 }),
    ];
    for value in values {
        let message = message! { "key" => value.clone() };
        assert_eq!(find(&router, "test", &message), Json::Null, "{value:?}");
    }
    let message = message! { "key" => b"ascii" };
    assert_ne!(find(&router, "test", &message), Json::Null);
}

#[test]
fn text_beyond_ascii_is_matched_and_cut_by_characters() {
    let inner = Router::new().route(route("test", c1).path("/(?P<room>.+)$"));
    let router = Router::new().include(include(inner).path("/räume"));
    let message = message! { "path" => "/räume/küche" };
    assert_eq!(
        find(&router, "test", &message),
        serde_json::json!(["c1", { "room": "küche" }])
    );
}

#[test]
fn captures_of_byte_strings_are_text() {
    let router = Router::new().route(route("test", c1).filter("query", "room=(?P<room>[a-z]+)"));
    let message = message! { "query" => b"room=kitchen&x=1" };
    assert_eq!(
        find(&router, "test", &message),
        serde_json::json!(["c1", { "room": "kitchen" }])
    );
}

#[test]
fn prefixes_are_cut_from_any_key_and_only_for_what_is_inside() {
    let inner = Router::new().route(route("test", c1).filter("subject", "lunch"));
    let router = Router::new()
        .include(include(inner).prefix("subject", "re: "))
        .route(route("test", c2).filter("subject", "re: "));
    let found =
        |subject: &str| find(&router, "test", &message! { "subject" => subject })[0].clone();
    assert_eq!(found("re: lunch"), "c1");
    assert_eq!(found("re: dinner"), "c2");
    assert_eq!(found("lunch"), Json::Null);
}

#[test]
fn a_route_that_fails_leaves_no_captures_behind() {
    let inner = Router::new().route(route("test", c1).path("/(?P<b>[0-9]+)$"));
    let router = Router::new()
        .include(include(inner).path("/(?P<a>[a-z]+)"))
        .route(route("test", c2).path("/(?P<c>.*)"));
    let message = message! { "path" => "/abc/def" };
    assert_eq!(
        find(&router, "test", &message),
        serde_json::json!(["c2", { "c": "abc/def" }])
    );
}

#[test]
fn of_filters_with_the_same_group_the_later_wins_in_the_place_of_the_first() {
    let route: Route = route("test", c1)
        .filter("one", "(?P<x>.*)")
        .filter("two", "(?P<y>.*)")
        .filter("three", "(?P<x>.*)");
    let router = Router::new().route(route);
    let message = message! { "one" => "1", "two" => "2", "three" => "3" };
    let found = router.find(&name("test"), &message).unwrap();
    let params: Vec<_> = found.params().iter().collect();
    assert_eq!(params, [("x", Some("3")), ("y", Some("2"))]);
}

#[test]
fn a_message_is_not_copied_for_an_include() {
    let inner = Router::new().route(route("test", c1).path("/b/(?P<rest>.*)$"));
    let router = Router::new().include(include(inner).path("/a"));
    let message = message! { "path" => "/a/b/c" };
    let found = router.find(&name("test"), &message).unwrap();
    let path = message.text("path").unwrap().as_bytes().as_ptr_range();
    let rest = found.params().get("rest").unwrap();
    assert!(path.contains(&rest.as_ptr()));
}

#[test]
fn a_process_specific_channel_is_routed_by_its_non_local_part() {
    let router = Router::new().route(route("service.replies!", c1));
    let found = find(&router, "service.replies!AbC", &Message::new());
    assert_eq!(found[0], "c1");
    assert_eq!(
        find(&router, "service.other!AbC", &Message::new()),
        Json::Null
    );
}

#[test]
fn patterns_that_cannot_be_used_are_refused_with_the_reason() {
    let refused = |pattern: &str| {
        let route: Route = route("test", c1);
        match route.try_filter("path", pattern) {
            Err(Error::InvalidPattern { reason, .. }) => reason,
            other => panic!("{pattern:?} gave {other:?}"),
        }
    };
    assert!(refused("/(unclosed").contains("unclosed group"));
    assert!(refused("a)(b").contains("unopened group"));
    assert!(refused("/([a-z]+)/").contains("(?P<name>...)"));
    assert!(refused("(?P<a>x)(?P<a>y)").contains("duplicate"));
    assert!(refused("(?=x)").contains("look-around"));
    assert!(refused(r"(?P<a>x)\1").contains("backreferences"));
    assert!(refused("x{1000}{1000}{1000}").contains("exceeds size limit"));
}

#[test]
fn inline_flags_and_comments_are_allowed() {
    let router = Router::new().route(route("test", c1).path("(?xi) /CHAT  # the chat"));
    assert_ne!(
        find(&router, "test", &message! { "path" => "/chat" }),
        Json::Null
    );
}

#[test]
fn bad_names_and_patterns_panic_where_they_are_written() {
    let place = Arc::new(Mutex::new(None));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new({
        let place = Arc::clone(&place);
        move |panic| {
            let file = panic.location().unwrap().file().to_owned();
            *place.lock().unwrap() = Some((file, panic.to_string()));
        }
    }));
    let mut results = Vec::new();
    let mut attempt = |attempt: fn()| {
        let panicked = catch_unwind(attempt).is_err();
        results.push((panicked, place.lock().unwrap().take().unwrap_or_default()));
    };
    attempt(|| drop::<Route>(route("not a name", c1)));
    attempt(|| drop::<Route>(route("test", c1).path("/(unclosed")));
    attempt(|| drop::<Route>(route("test", c1).filter("key", "(x)")));
    attempt(|| drop(include(Router::<()>::new()).path("/(unclosed")));
    std::panic::set_hook(hook);
    assert_eq!(results.len(), 4);
    for (panicked, (file, text)) in results {
        assert!(panicked);
        assert!(file.ends_with("tests/routing.rs"), "panicked in {file}");
        assert!(
            ["not a name", "/(unclosed", "(x)"]
                .iter()
                .any(|bad| text.contains(bad)),
            "{text}"
        );
    }
}

#[test]
fn a_router_is_shown_line_by_line() {
    let chat = Router::new().route(route(["websocket.connect", "websocket.receive"], c1).path("/"));
    let router: Router = Router::new()
        .include(include(chat).path("/chat").prefix("method", "GET"))
        .route(route("test", c2));
    assert_eq!(
        router.to_string(),
        "include (path=/chat, method=GET)\n  \
           websocket.connect, websocket.receive (path=/) -> routing::c1\n\
         test -> routing::c2\n"
    );
}

/// Says when it runs.
struct Tag(&'static str);

impl Middleware for Tag {
    async fn handle(&self, cx: Context, next: Next<'_>) -> Outcome {
        cx.reply(message! { "text" => format!("{} in", self.0) });
        let outcome = next.run(cx.clone()).await;
        cx.reply(message! { "text" => format!("{} out", self.0) });
        outcome
    }
}

#[tokio::test]
async fn middleware_runs_around_the_consumer_last_added_outermost() {
    async fn echo(cx: Context) {
        cx.reply(message! { "text" => "consumer" });
    }
    let inner = Router::new().with(Tag("inner router")).route(
        route("websocket.receive", echo)
            .with(Tag("first"))
            .with(Tag("second")),
    );
    let router = Router::new().include(inner).with(Tag("outer router"));
    let replies = support::consume(router, "x").await;
    assert_eq!(
        support::texts(&replies),
        [
            "outer router in",
            "inner router in",
            "second in",
            "first in",
            "consumer",
            "first out",
            "second out",
            "inner router out",
            "outer router out",
        ]
    );
}

fn socket_message(path: &str) -> Message {
    message! { "reply_channel" => "client!abc", "path" => path, "order" => 0 }
}

/// The one reply to a message on `channel`.
async fn answer(
    worker: &Worker,
    channel: &str,
    message: Message,
    layer: &Arc<InMemoryChannelLayer>,
) -> Vec<Message> {
    send(&**layer, channel, message).await;
    assert!(worker.run_once().await.unwrap());
    drain(&**layer, "client!").await
}

#[tokio::test]
async fn default_routes_are_those_of_the_original() {
    let layer = layer();
    async fn http_consumer(cx: Context) {
        cx.reply(message! { "status" => 299 });
    }
    let worker = Worker::builder(layer.clone(), Router::new().route(route("x", c1)))
        .default_routes(DefaultRoutes::new().http(http_consumer))
        .build()
        .unwrap();
    // Listened on besides, so that responses to clients that are gone are not streamed on.
    let mut channels = vec!["x".to_owned(), "http.disconnect".to_owned()];
    for vector in vectors("ch_routing_defaults") {
        let channel = vector["channel"].as_str().unwrap().to_owned();
        let replies = answer(&worker, &channel, socket_message("/"), &layer).await;
        match vector["consumer"].as_str().unwrap() {
            "c1" => assert_eq!(replies, [message! { "status" => 299 }]),
            // The original accepts every path; here nothing would take this one's frames.
            "connect_consumer" => assert_eq!(replies, [message! { "accept" => false }]),
            "null_consumer" => assert_eq!(replies, []),
            other => panic!("unknown consumer {other}"),
        }
        channels.push(channel);
    }
    channels.sort();
    assert_eq!(
        worker.channels(),
        &*channels
            .iter()
            .map(|channel| name(channel))
            .collect::<Vec<_>>()
    );
    assert_eq!(worker.statistics().errors, 0);
}

#[tokio::test]
async fn without_an_http_handler_requests_that_no_route_takes_get_404() {
    let layer = layer();
    let worker = Worker::builder(layer.clone(), Router::new())
        .default_routes(DefaultRoutes::new())
        .build()
        .unwrap();
    let replies = answer(&worker, "http.request", socket_message("/"), &layer).await;
    let response = http::Response::try_from(&replies[0]).unwrap();
    assert_eq!(response.status, Some(404));
    assert!(!response.more_content);
}

#[tokio::test]
async fn a_connection_is_accepted_by_default_if_its_frames_have_a_route() {
    let layer = layer();
    let inner = Router::new().route(
        route("websocket.receive", c1)
            .path("/echo/")
            .filter("text", "x"),
    );
    let router = Router::new()
        .include(include(inner).path("/v1"))
        .route(route("websocket.disconnect", c2).path("/bye/"));
    let worker = Worker::builder(layer.clone(), router)
        .default_routes(DefaultRoutes::new())
        .build()
        .unwrap();
    let connect = websocket::CONNECT;
    for (path, accept) in [
        ("/v1/echo/", true),
        ("/bye/", true),
        ("/v1/bye/", false),
        ("/", false),
    ] {
        let replies = answer(&worker, connect.as_str(), socket_message(path), &layer).await;
        assert_eq!(replies, [message! { "accept" => accept }], "{path}");
    }
}
