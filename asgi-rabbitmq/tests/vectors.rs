//! What was recorded of the Python original: which queues, exchanges and bindings it declares,
//! what it publishes, and what it does with dead letters. Ours does the same where groups have the
//! compatible form, and so does the stand-in for the original.

mod support;

use std::collections::BTreeMap;

use asgi_rabbitmq::RabbitmqChannelLayer;
use asgiref::{ChannelLayerExt as _, Groups, Message, message};
use lapin::BasicProperties;
use lapin::types::AMQPValue;
use serde_json::{Value as Json, json};
use support::amqp::{Client, Stored, long_text, table};
use support::broker::Broker;
use support::pair::{Settings, channel, group, look, take};
use support::python::PythonLayer;
use support::topology::{Binding, Queue, Topology};
use support::typed::{from_hex, to_hex};
use support::{until, within};

fn records() -> Json {
    let text = include_str!("vectors/layers_rabbitmq_topology.json");
    serde_json::from_str(text).expect("JSON")
}

fn items(json: &Json) -> &[Json] {
    json.as_array().expect("a list")
}

fn text(json: &Json) -> &str {
    json.as_str().expect("text")
}

/// The settings of the recorded process.
fn recorded_settings() -> Settings {
    Settings::shared().capacity(3).compatible_groups()
}

/// Whoever is compared with the records.
trait Recorded {
    async fn send(&self, channel: &str, message: Message);
    async fn group_add(&self, group: &str, channel: &str);
    async fn group_discard(&self, group: &str, channel: &str);
    async fn send_group(&self, group: &str, message: Message);
}

fn groups(layer: &RabbitmqChannelLayer) -> &dyn Groups {
    layer.require_groups().expect("the layer has groups")
}

impl Recorded for RabbitmqChannelLayer {
    async fn send(&self, name: &str, message: Message) {
        let name = channel(name);
        let sent = within("send", asgiref::ChannelLayer::send(self, &name, message)).await;
        sent.expect("there is room");
    }

    async fn group_add(&self, name: &str, member: &str) {
        let (name, member) = (group(name), channel(member));
        let added = within("group_add", groups(self).group_add(&name, &member)).await;
        added.expect("added");
    }

    async fn group_discard(&self, name: &str, member: &str) {
        let (name, member) = (group(name), channel(member));
        let discarded = groups(self).group_discard(&name, &member);
        within("group_discard", discarded).await.expect("discarded");
    }

    async fn send_group(&self, name: &str, message: Message) {
        let name = group(name);
        let sent = within("send_group", groups(self).send_group(&name, message)).await;
        sent.expect("sent");
    }
}

impl Recorded for PythonLayer<'_> {
    async fn send(&self, name: &str, message: Message) {
        PythonLayer::send(self, name, &message).expect("there is room");
    }

    async fn group_add(&self, name: &str, member: &str) {
        PythonLayer::group_add(self, name, member).expect("added");
    }

    async fn group_discard(&self, name: &str, member: &str) {
        PythonLayer::group_discard(self, name, member).expect("discarded");
    }

    async fn send_group(&self, name: &str, message: Message) {
        PythonLayer::send_group(self, name, &message).expect("sent");
    }
}

/// One virtual host, looked at from outside.
struct Scene {
    settings: Settings,
    client: Client,
}

impl Scene {
    async fn new() -> Self {
        let settings = recorded_settings();
        let client = Client::connect(settings.url()).await;
        Self { settings, client }
    }

    fn topology(&self) -> Topology {
        Topology::of(Broker::shared(), self.settings.virtual_host())
    }

    async fn get(&self, queue: &str) -> Stored {
        let got = self.client.get(queue).await;
        got.unwrap_or_else(|| panic!("{queue} is empty"))
    }

    /// A queue as the original declares that of a channel.
    async fn declare_channel(&self, name: &str) {
        let arguments = table([
            ("x-dead-letter-exchange", long_text("dead-letters")),
            ("x-expires", AMQPValue::LongInt(120_000)),
        ]);
        self.client.declare_queue(name, arguments).await;
    }

    /// What the original declares when a process-specific channel joins a group.
    async fn declare_member(&self, group: &str, member: &str) {
        let arguments = table([
            ("x-dead-letter-exchange", long_text("dead-letters")),
            ("x-expires", AMQPValue::LongInt(86_400_000)),
            ("x-max-length", AMQPValue::LongInt(0)),
        ]);
        self.client.declare_fanout(group, false).await;
        self.client.declare_queue(member, arguments).await;
        self.client.bind_queue(group, member).await;
    }
}

fn expect_queue(queue: &Queue, arguments: &Json, what: &str) {
    assert!(
        !queue.durable && !queue.exclusive && !queue.auto_delete,
        "{what}: {queue:?}"
    );
    let arguments: BTreeMap<String, Json> =
        serde_json::from_value(arguments.clone()).expect("a table");
    assert_eq!(queue.arguments, arguments, "{what}");
}

fn expect_declared(topology: &Topology, declaration: &Json) {
    if let Some(name) = declaration.get("queue") {
        let queue = topology.queue(text(name));
        return expect_queue(queue, &declaration["arguments"], text(name));
    }
    let name = text(&declaration["exchange"]);
    let exchange = topology.exchanges.get(name);
    let exchange = exchange.unwrap_or_else(|| panic!("there is no exchange {name}"));
    assert_eq!(exchange.kind, text(&declaration["type"]), "{name}");
    assert_eq!(
        json!(exchange.auto_delete),
        declaration["auto_delete"],
        "{name}"
    );
    assert!(!exchange.durable, "{name}");
}

/// Nothing else is declared that Python could take for something of its own: no name of a channel
/// or a group has a colon.
fn expect_nothing_else(topology: &Topology, expected: &[&str]) {
    let names = topology.queues.keys().chain(topology.exchanges.keys());
    for name in names.filter(|name| !name.contains(':')) {
        assert!(expected.contains(&&**name), "{name}");
    }
}

async fn check_on_connect(whoever: &impl Recorded, scene: &Scene) {
    awake(whoever, scene).await;
    let topology = scene.topology();
    for step in items(&records()["on_connect"]) {
        if let Some(declaration) = step.get("exchange_declare").or(step.get("queue_declare")) {
            expect_declared(&topology, declaration);
        } else if let Some(bind) = step.get("queue_bind") {
            let [exchange, queue, key] =
                ["exchange", "queue", "routing_key"].map(|name| text(&bind[name]));
            let binding = Binding::queue(exchange, queue, key);
            assert!(topology.bindings.contains(&binding), "{binding:?}");
        } else {
            let queue = text(&step["basic_consume"]["queue"]);
            assert!(topology.queue(queue).consumers > 0, "{queue}");
        }
    }
    expect_nothing_else(&topology, &["dead-letters", "first.call"]);
}

async fn check_sends(whoever: &impl Recorded, scene: &Scene) {
    for record in items(&records()["send"]) {
        let name = text(&record["channel"]);
        let message = match name {
            "http.request" => message! { "a" => 1 },
            "resp.AbC!xyz" => message! { "b" => b"\x00" },
            _ => message! { "text" => "of a body" },
        };
        whoever.send(name, message).await;
        let queue = text(&record["queue_declare"]["queue"]);
        expect_declared(&scene.topology(), &record["queue_declare"]);
        let stored = scene.get(queue).await;
        let publish = &record["publish"];
        if let Some(body) = publish.get("body_hex") {
            assert_eq!(to_hex(&stored.body), text(body), "{name}");
        }
        expect_properties(&stored, publish, name);
    }
}

/// Expiration and headers are as recorded, and there are no other properties.
fn expect_properties(stored: &Stored, publish: &Json, what: &str) {
    assert_eq!(
        stored.expiration(),
        Some(text(&publish["expiration"])),
        "{what}"
    );
    let local_part = publish["headers"].get("asgi_channel").map(text);
    assert_eq!(
        stored.header("asgi_channel").as_deref(),
        local_part,
        "{what}"
    );
    let headers = stored.properties.headers().as_ref();
    let count = headers.map_or(0, |headers| headers.inner().len());
    assert_eq!(count, usize::from(local_part.is_some()), "{what}");
    let mut expected = BasicProperties::default();
    if let Some(expiration) = stored.properties.expiration() {
        expected = expected.with_expiration(expiration.clone());
    }
    if let Some(headers) = headers {
        expected = expected.with_headers(headers.clone());
    }
    assert_eq!(stored.properties, expected, "{what}");
}

async fn check_group(whoever: &impl Recorded, scene: &Scene) {
    let records = records();
    let mut expected = vec!["dead-letters".to_owned(), "resp.AbC!".to_owned()];
    // This kind of member has its queue from whoever made the name.
    scene.declare_channel("body?JTlSjXcLHzXZIAqCOXej").await;
    for record in items(&records["group_add"]) {
        let (name, member) = (text(&record["group"]), text(&record["channel"]));
        whoever.group_add(name, member).await;
        let topology = scene.topology();
        for declaration in items(&record["declares"]) {
            expect_declared(&topology, declaration);
            let name = declaration.get("queue").or(declaration.get("exchange"));
            expected.extend(name.map(text).map(str::to_owned));
        }
        for bind in items(&record["binds"]) {
            let binding = binding(bind);
            assert!(topology.bindings.contains(&binding), "{binding:?}");
        }
        let marker = format!("expire.bind.{name}.{member}");
        let stored = scene.get(&marker).await;
        assert_eq!(stored.properties, BasicProperties::default(), "{marker}");
        if let Some(publish) = record.get("marker_publish") {
            assert_eq!(to_hex(&stored.body), text(&publish["body_hex"]), "{marker}");
        }
    }
    expected.push("body?JTlSjXcLHzXZIAqCOXej".to_owned());
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    expect_nothing_else(&scene.topology(), &expected);

    let record = &records["send_group"];
    whoever
        .send_group(text(&record["group"]), message! { "v" => 1 })
        .await;
    let stored = scene.get("chan1").await;
    assert_eq!(to_hex(&stored.body), text(&record["publish"]["body_hex"]));
    expect_properties(&stored, &record["publish"], "send_group");

    for record in items(&records["group_discard"]) {
        let member = text(&record["channel"]);
        let destination =
            |binding: &Binding| binding.source == "g1" && binding.destination == member;
        assert!(
            scene.topology().bindings.iter().any(destination),
            "{member}"
        );
        whoever.group_discard("g1", member).await;
        assert!(
            !scene.topology().bindings.iter().any(destination),
            "{member}"
        );
    }
}

fn binding(record: &Json) -> Binding {
    if let Some(bind) = record.get("exchange_bind") {
        let [source, destination, key] =
            ["source", "destination", "routing_key"].map(|name| text(&bind[name]));
        return Binding::exchange(source, destination, key);
    }
    let bind = &record["queue_bind"];
    let [exchange, queue, key] = ["exchange", "queue", "routing_key"].map(|name| text(&bind[name]));
    Binding::queue(exchange, queue, key)
}

#[tokio::test]
async fn what_is_declared_at_first_is_as_recorded() {
    let scene = Scene::new().await;
    check_on_connect(&scene.settings.ours(), &scene).await;
}

#[tokio::test]
async fn what_a_send_declares_and_publishes_is_as_recorded() {
    let scene = Scene::new().await;
    check_sends(&scene.settings.ours(), &scene).await;
}

#[tokio::test]
async fn what_groups_declare_bind_and_publish_is_as_recorded() {
    let scene = Scene::new().await;
    check_group(&scene.settings.ours(), &scene).await;
}

#[tokio::test]
async fn the_python_side_of_the_tests_is_as_recorded() {
    let scene = Scene::new().await;
    check_on_connect(&scene.settings.theirs(), &scene).await;
    let scene = Scene::new().await;
    check_sends(&scene.settings.theirs(), &scene).await;
    let scene = Scene::new().await;
    check_group(&scene.settings.theirs(), &scene).await;
}

#[tokio::test]
async fn recorded_messages_are_understood() {
    let scene = Scene::new().await;
    let ours = scene.settings.ours();
    for (record, expected) in items(&records()["send"]).iter().zip([
        ("http.request", message! { "a" => 1 }),
        ("resp.AbC!xyz", message! { "b" => b"\x00" }),
    ]) {
        let publish = &record["publish"];
        let queue = text(&publish["routing_key"]);
        scene.declare_channel(queue).await;
        let mut properties = BasicProperties::default().with_expiration("60000".into());
        if let Some(local) = publish["headers"].get("asgi_channel") {
            let headers = table([("asgi_channel", long_text(text(local)))]);
            properties = properties.with_headers(headers);
        }
        let body = from_hex(text(&publish["body_hex"]));
        scene.client.put(queue, &body, properties).await;
        let (name, message) = take(&ours, queue).await;
        assert_eq!((&*name, message), expected);
        assert_eq!(look(&ours, queue).await, None);
    }
}

/// What was published to a group reaches a member at another process.
async fn check_forwarding(scene: &Scene) {
    let case = &records()["dead_letter_cases"][0];
    scene.declare_member("g", "resp.A!m1").await;
    scene.declare_channel("resp.A!").await;
    let properties = BasicProperties::default().with_expiration("60000".into());
    let body = from_hex(text(&case["body_hex"]));
    scene.client.publish("g", "", &body, properties).await;
    until("the message to be passed on", || {
        scene.topology().messages("resp.A!") > 0
    })
    .await;
    let stored = scene.get("resp.A!").await;
    assert_eq!(stored.body, body);
    assert_eq!(stored.header("asgi_channel").as_deref(), Some("m1"));
    assert_eq!(stored.expiration(), Some("60000"));
}

/// A member that let a message expire leaves its groups.
async fn check_expired_messages(scene: &Scene) {
    scene.declare_member("g", "resp.A!m1").await;
    scene.declare_channel("resp.A!").await;
    let headers = table([("asgi_channel", long_text("m1"))]);
    let short = BasicProperties::default().with_expiration("200".into());
    let properties = short.clone().with_headers(headers);
    scene.client.put("resp.A!", b"\x80", properties).await;
    until("the member's queue to go", || {
        !scene.topology().queues.contains_key("resp.A!m1")
    })
    .await;

    scene.client.declare_fanout("chan1", true).await;
    scene.declare_channel("chan1").await;
    scene.client.bind_exchange("g", "chan1").await;
    scene.client.bind_queue("chan1", "chan1").await;
    scene.client.put("chan1", b"\x80", short).await;
    until("the member's exchange to go", || {
        !scene.topology().exchanges.contains_key("chan1")
    })
    .await;
}

/// An expired marker ends the membership it stands for.
async fn check_expired_markers(scene: &Scene) {
    scene.declare_member("g", "resp.A!m1").await;
    let marker = "expire.bind.g.resp.A!m1";
    let arguments = table([
        ("x-dead-letter-exchange", long_text("dead-letters")),
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-message-ttl", AMQPValue::LongInt(300)),
        ("x-expires", AMQPValue::LongInt(60_000)),
    ]);
    scene.client.declare_queue(marker, arguments).await;
    scene
        .client
        .put(marker, &marker_body(), BasicProperties::default())
        .await;
    let binding = Binding::queue("g", "resp.A!m1", "resp.A!m1");
    assert!(scene.topology().bindings.contains(&binding));
    until("the membership to end", || {
        !scene.topology().bindings.contains(&binding)
    })
    .await;
}

/// The map of group and channel.
fn marker_body() -> Vec<u8> {
    from_hex("82a567726f7570a167a76368616e6e656ca9726573702e41216d31")
}

/// A marker that another one has replaced says nothing. The original takes those of
/// process-specific channels for messages, and publishes them to a queue of this name.
async fn check_replaced_markers(scene: &Scene) {
    let arguments = table([
        ("x-dead-letter-exchange", long_text("dead-letters")),
        ("x-max-length", AMQPValue::LongInt(1)),
    ]);
    scene.declare_member("g", "resp.A!m1").await;
    for member in ["chan1", "resp.A!m1"] {
        let marker = format!("expire.bind.g.{member}");
        scene.client.declare_queue(&marker, arguments.clone()).await;
        for _ in 0..2 {
            let none = BasicProperties::default();
            scene.client.put(&marker, &marker_body(), none).await;
        }
    }
    scene.declare_channel("expire.bind.g.resp.A!").await;
    // By then what came before has been dealt with.
    check_forwarding(scene).await;
    let topology = scene.topology();
    assert_eq!(topology.messages("expire.bind.g.resp.A!"), 0);
    let binding = Binding::queue("g", "resp.A!m1", "resp.A!m1");
    assert!(topology.bindings.contains(&binding));
}

/// Has `whoever` consume dead letters.
async fn awake(whoever: &impl Recorded, scene: &Scene) {
    whoever.send("first.call", message! {}).await;
    until("a consumer of dead letters", || {
        let queues = scene.topology().queues;
        let queue = queues.get("dead-letters");
        queue.is_some_and(|queue| queue.consumers > 0)
    })
    .await;
}

#[tokio::test]
async fn group_messages_are_passed_on_to_members_of_other_processes() {
    let scene = Scene::new().await;
    let ours = scene.settings.ours();
    awake(&ours, &scene).await;
    check_forwarding(&scene).await;
}

#[tokio::test]
async fn members_that_let_messages_expire_leave_their_groups() {
    let scene = Scene::new().await;
    let ours = scene.settings.ours();
    awake(&ours, &scene).await;
    check_expired_messages(&scene).await;
}

#[tokio::test]
async fn expired_markers_end_memberships() {
    let scene = Scene::new().await;
    let ours = scene.settings.ours();
    awake(&ours, &scene).await;
    check_expired_markers(&scene).await;
}

#[tokio::test]
async fn replaced_markers_are_ignored() {
    let scene = Scene::new().await;
    let ours = scene.settings.ours();
    awake(&ours, &scene).await;
    check_replaced_markers(&scene).await;
}

#[tokio::test]
async fn the_python_side_of_the_tests_buries_as_recorded() {
    for check in ["forwarding", "messages", "markers"] {
        let scene = Scene::new().await;
        let theirs = scene.settings.theirs();
        awake(&theirs, &scene).await;
        match check {
            "forwarding" => check_forwarding(&scene).await,
            "messages" => check_expired_messages(&scene).await,
            _ => check_expired_markers(&scene).await,
        }
    }
}
