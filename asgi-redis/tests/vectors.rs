//! What the Python original was recorded to do, as files in `vectors/`.

mod support;

use std::collections::BTreeMap;

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, ChannelLayerExt as _, ChannelName, GroupName, Value, message};
use serde_json::Value as Json;
use support::pair::{Settings, channel, group, look, take};
use support::resp::Reply;
use support::server::{RedisOptions, RedisServer};
use support::typed::{self, to_hex};

fn load(file: &str) -> Json {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn items<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json[key]
        .as_array()
        .unwrap_or_else(|| panic!("no list {key}"))
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_else(|| panic!("{json} is no text"))
}

/// Databases of one server serve as the servers of a ring.
#[tokio::test]
async fn names_are_on_the_servers_of_the_recorded_ring() {
    const LARGEST: usize = 100;
    let server = RedisOptions::new()
        .set("databases", &LARGEST.to_string())
        .start();
    let json = load("layers_redis_consistent_hash.json");
    let mut checked = 0;
    for vector in items(&json, "vectors") {
        let name = text(&vector["name"]);
        for (size, index) in vector["index_by_ring_size"].as_object().expect("indexes") {
            let size: usize = size.parse().expect("a number");
            let index = usize::try_from(index.as_u64().expect("an index")).expect("a small one");
            if size > LARGEST {
                continue;
            }
            let databases =
                (0..size).map(|database| format!("redis://127.0.0.1:{}/{database}", server.port()));
            let settings = Settings::at(databases);
            let Some(key) = put(&settings, name).await else {
                continue;
            };
            assert_eq!(
                databases_with(&server, size, &key),
                [index],
                "{name} of {size}"
            );
            checked += 1;
        }
    }
    // Twelve sizes, for all names but the empty one, what is no name at all and what is hashed
    // without its local part.
    assert!(checked >= 12 * 12, "{checked}");
}

/// Puts something at `name`, and returns the key it must be at; `None` if it is no name.
async fn put(settings: &Settings, name: &str) -> Option<String> {
    let ours = settings.ours();
    if let Ok(name) = ChannelName::new(name)
        && name.as_str().contains(['?', '!'])
    {
        if name.non_local() != name.as_str() {
            // The whole name is in the vectors to show what is not hashed.
            return None;
        }
        ours.send(&name, message! {}).await.expect("there is room");
        return Some(settings.key(name.as_str()));
    }
    let name = GroupName::new(name).ok()?;
    let groups = ours.require_groups().expect("the layer has groups");
    groups
        .group_add(&name, &channel("a.member"))
        .await
        .expect("added");
    Some(settings.group_key(name.as_str()))
}

fn databases_with(server: &RedisServer, count: usize, key: &str) -> Vec<usize> {
    let mut connection = server.connect();
    let mut has = |database: &usize| {
        connection
            .call(&["SELECT", &database.to_string()])
            .expect("the server answers");
        connection
            .call(&["EXISTS", key])
            .expect("the server answers")
            == Reply::Int(1)
    };
    (0..count).filter(|database| has(database)).collect()
}

#[tokio::test]
async fn bodies_have_the_recorded_bytes() {
    let server = RedisServer::shared();
    let settings = Settings::shared();
    let ours = settings.ours();
    let json = load("layers_msgpack_messages.json");
    for vector in items(&json, "vectors") {
        let name = text(&vector["name"]);
        let message = typed::message(&vector["message"]);
        // Those that hold a channel's name already stand for what is stored, not what is sent.
        if !message.contains_key("__asgi_channel__") {
            ours.send(&channel("vectors"), message.clone())
                .await
                .expect(name);
            let body = server.command(&["LINDEX", &settings.key("vectors"), "0"]);
            let body = server.command(&["GET", body.text()]);
            assert_eq!(to_hex(body.bytes()), text(&vector["hex"]), "{name}");
            assert_eq!(take(&ours, "vectors").await.1, message, "{name}");
        }
    }
}

#[tokio::test]
async fn recorded_bodies_are_received() {
    let settings = Settings::shared();
    let ours = settings.ours();
    let json = load("layers_msgpack_messages.json");
    for vector in items(&json, "vectors") {
        let mut expected = typed::message(&vector["message"]);
        let named = expected.remove("__asgi_channel__");
        let named = named.as_ref().and_then(Value::as_text);
        let name = channel(named.map_or("planted", |name| name));
        plant(
            &settings,
            name.non_local(),
            &typed::from_hex(text(&vector["hex"])),
        );
        let received = take(&ours, name.non_local()).await;
        assert_eq!(received, (name.to_string(), expected), "{vector}");
    }
}

/// Forms that Python reads, and that senders in other languages write.
#[tokio::test]
async fn bodies_are_read_as_leniently_as_recorded() {
    let settings = Settings::shared();
    let ours = settings.ours();
    for (hex, expected) in [
        ("81a166ca3fc00000", message! { "f" => 1.5 }),
        ("81d90161a3626c75", message! { "a" => "blu" }),
        ("81c40161c40162", message! { "a" => b"b" }),
    ] {
        plant(&settings, "planted", &typed::from_hex(hex));
        assert_eq!(take(&ours, "planted").await.1, expected, "{hex}");
    }
}

/// Python raises an exception, or returns what is no message. A worker must go on.
#[tokio::test]
async fn bodies_that_are_no_messages_are_skipped() {
    let settings = Settings::shared();
    let ours = settings.ours();
    let json = load("layers_msgpack_messages.json");
    for case in items(&json, "decode_behaviour") {
        let name = text(&case["name"]);
        if ["float32", "raw8_old_style_key", "bytes_key"].contains(&name) {
            continue;
        }
        plant(&settings, "planted", &typed::from_hex(text(&case["hex"])));
        expect_skipped(&settings, &ours, name).await;
    }
}

#[tokio::test]
async fn recorded_tokens_that_are_not_valid_are_skipped() {
    let json = load("layers_fernet_tokens.json");
    let settings = Settings::shared().keys(&["test"]);
    let ours = settings.ours();
    for case in items(&json, "bad") {
        plant(&settings, "planted", text(&case["token"]).as_bytes());
        expect_skipped(&settings, &ours, text(&case["name"])).await;
    }
    // Those that are right are years old.
    for token in items(&json, "tokens") {
        plant(&settings, "planted", text(&token["token"]).as_bytes());
        expect_skipped(&settings, &ours, "too old").await;
    }
}

/// Stores `body` as Python would have sent it.
fn plant(settings: &Settings, queue: &str, body: &[u8]) {
    let server = RedisServer::shared();
    let key = settings.key("0123456789abcdef0123456789abcdef");
    server.command(&[b"SET", key.as_bytes(), body]);
    server.command(&["RPUSH", &settings.key(queue), &key]);
}

/// What was planted is not received, and what comes after it is.
async fn expect_skipped(settings: &Settings, ours: &RedisChannelLayer, name: &str) {
    let next = message! { "after" => name };
    settings
        .ours()
        .send(&channel("planted"), next.clone())
        .await
        .expect("there is room");
    assert_eq!(take(ours, "planted").await.1, next, "{name}");
    assert_eq!(look(ours, "planted").await, None, "{name}");
}

#[tokio::test]
async fn a_message_and_a_membership_are_stored_as_recorded() {
    let server = RedisServer::start();
    let settings = Settings::on([&server])
        .prefix("asgi:")
        .stats_prefix("asgi-meta:");
    let ours = settings.ours();
    ours.send(&channel("st!x"), message! { "a" => b"z" })
        .await
        .expect("there is room");
    let groups = ours.require_groups().expect("the layer has groups");
    groups
        .group_add(&group("gr"), &channel("st!x"))
        .await
        .expect("added");

    let json = load("layers_redis_wire_trace.json");
    let (_, recorded) = json
        .as_object()
        .and_then(|json| {
            json.iter()
                .find(|(key, _)| key.starts_with("state_after_send"))
        })
        .expect("the recorded state");
    let mut known = BTreeMap::new();
    let list = server.command(&["LRANGE", "asgi:st!", "0", "-1"]);
    let [body] = list.texts()[..] else {
        panic!("one message: {list:?}");
    };
    let shape = body.strip_prefix("asgi:").expect("the prefix");
    assert!(
        shape.len() == 32 && shape.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{body}"
    );
    known.insert("asgi:<uuid4hex#7>", body);
    for (recorded_key, state) in recorded.as_object().expect("keys") {
        let key = known.get(&**recorded_key).copied().unwrap_or(recorded_key);
        let kind = server.command(&["TYPE", key]);
        assert_eq!(kind.text(), text(&state["type"]), "{key}");
        let left = server.command(&["TTL", key]).int();
        let expected = state["ttl_seconds"].as_i64().expect("seconds");
        // It may be a moment ago.
        assert!(
            (expected - 5..=expected).contains(&left),
            "{key}: {left} of {expected}"
        );
        match kind.text() {
            "string" if key == body => {
                let value = server.command(&["GET", key]);
                assert_eq!(to_hex(value.bytes()), text(&state["value"]["hex"]));
            }
            "string" => assert_eq!(server.command(&["GET", key]).text(), text(&state["value"])),
            "list" => assert_eq!(server.command(&["LLEN", key]).int(), 1),
            "zset" => {
                let members = server.command(&["ZRANGE", key, "0", "-1", "WITHSCORES"]);
                let [member, score] = members.texts()[..] else {
                    panic!("one member: {members:?}");
                };
                assert_eq!(member, text(&state["members"][0]));
                let score: f64 = score.parse().expect("a number");
                let time = server.command(&["TIME"]);
                let now: f64 = time.texts()[0].parse().expect("a number");
                assert!(
                    (now - 60.0..=now + 1.0).contains(&score),
                    "{score}, now {now}"
                );
            }
            other => panic!("{key} is a {other}"),
        }
    }
}

/// Sends that differ from Python's in bytes would be noticed by nobody else.
#[tokio::test]
async fn sends_store_the_bodies_of_the_recorded_commands() {
    let server = RedisServer::shared();
    let settings = Settings::shared();
    let ours = settings.ours();
    let json = load("layers_redis_wire_trace.json");
    let sends = [
        ("http.request", message! { "a" => 1 }),
        ("http.request", message! { "a" => 2 }),
        ("http.response.AbC!xYz", message! { "a" => 1 }),
    ];
    for (name, message) in sends {
        let value = message.int("a").expect("an integer");
        let op = format!("send(\"{name}\", {{\"a\": {value}}})");
        let mut trace = items(&json, "trace").iter();
        let recorded = trace
            .find(|step| text(&step["op"]) == op)
            .expect("a recorded send");
        let recorded = text(&recorded["commands"][0][5]["hex"]);
        let name = channel(name);
        ours.send(&name, message).await.expect("there is room");
        let list = settings.key(name.non_local());
        let body = server.command(&["LINDEX", &list, "-1"]);
        let body = server.command(&["GET", body.text()]);
        assert_eq!(to_hex(body.bytes()), recorded, "{op}");
    }
}
