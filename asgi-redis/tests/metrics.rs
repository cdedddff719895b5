//! What a site over Redis tells a recorder: the vocabulary of `asgiref::metrics`, as it is counted
//! by daphne, a worker and the layer.

mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use asgiref::metrics as vocabulary;
use asgiref::{ChannelLayer as _, ChannelLayerExt as _, message};
use axum::routing::get;
use channels::management::{RunworkerOptions, runworker};
use channels::{Application, ConsumerError, Context, Outcome, Router, route};
use daphne::Server;
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_default_local_recorder,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use support::pair::{Settings, channel, group, look, take};
use support::server::RedisServer;
use support::{until, within};

/// Keeps everything under its name and labels: `name{label=value}`.
#[derive(Debug, Default)]
struct Record {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    units: Mutex<BTreeMap<String, Unit>>,
}

impl Record {
    fn counter(&self, name: &str) -> u64 {
        let counters = self.counters.lock().expect("nobody panics here");
        let counter = counters.get(name);
        counter.map_or(0, |counter| counter.load(Ordering::SeqCst))
    }

    fn gauge(&self, name: &str) -> f64 {
        let gauges = self.gauges.lock().expect("nobody panics here");
        let gauge = gauges.get(name);
        gauge.map_or(0.0, |gauge| f64::from_bits(gauge.load(Ordering::SeqCst)))
    }

    fn note(&self, key: &KeyName, unit: Option<Unit>) {
        let mut units = self.units.lock().expect("nobody panics here");
        units.insert(
            key.as_str().to_owned(),
            unit.expect("everything has a unit"),
        );
    }
}

fn cell(cells: &Mutex<BTreeMap<String, Arc<AtomicU64>>>, key: &Key) -> Arc<AtomicU64> {
    let labels: Vec<_> = key
        .labels()
        .map(|label| format!("{}={}", label.key(), label.value()))
        .collect();
    let name = if labels.is_empty() {
        key.name().to_owned()
    } else {
        format!("{}{{{}}}", key.name(), labels.join(","))
    };
    let mut cells = cells.lock().expect("nobody panics here");
    Arc::clone(cells.entry(name).or_default())
}

impl Recorder for Record {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.note(&key, unit);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.note(&key, unit);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.note(&key, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(cell(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(cell(&self.gauges, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("{key} is in no list")
    }
}

async fn fail(_: Context) -> Outcome {
    Err(ConsumerError::failed("it went wrong"))
}

async fn ask(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("daphne listens");
    let request = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.expect("daphne reads");
    let mut answer = Vec::new();
    within("an answer", async {
        while !answer.ends_with(b"Hello world!") {
            answer.push(stream.read_u8().await.expect("daphne answers"));
        }
    })
    .await;
    stream
}

#[tokio::test]
async fn servers_and_workers_count_what_they_do() {
    let record = Record::default();
    let _installed = set_default_local_recorder(&record);
    let settings = Settings::shared();
    let layer = Arc::new(settings.ours());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it listens").port();
    let server = Server::builder(layer.clone()).listener(listener).build();
    let server = server.expect("the settings are valid");
    let application = Application::builder()
        .layer("default", layer.clone())
        .router(Router::new().route(route("task", fail)))
        .http(axum::Router::new().route("/hello", get(async || "Hello world!")))
        .build()
        .expect("the routing has a layer");
    let stop = CancellationToken::new();
    let served = tokio::spawn(server.run(stop.clone().cancelled_owned()));
    let stopped = stop.clone().cancelled_owned();
    let worked =
        tokio::spawn(
            async move { runworker(&application, RunworkerOptions::new(), stopped).await },
        );

    let streams = [ask(port).await, ask(port).await];
    assert_eq!(record.counter("asgi_server_requests"), 2);
    assert_eq!(record.gauge("asgi_server_open_connections"), 2.0);
    assert_eq!(record.counter("asgi_worker_messages"), 2);
    drop(streams);
    until("the connections to be closed", || {
        record.gauge("asgi_server_open_connections") == 0.0
    })
    .await;

    let sent = layer.send(&channel("task"), message! {}).await;
    sent.expect("there is room");
    until("the failure", || record.counter("asgi_worker_errors") == 1).await;
    until("the consumer to end", || {
        record.gauge("asgi_worker_busy") == 0.0
    })
    .await;
    assert_eq!(record.counter("asgi_worker_messages"), 3);
    assert_eq!(record.counter("asgi_worker_unroutable"), 0);
    stop.cancel();
    within("the server to stop", served)
        .await
        .expect("no panic")
        .expect("in order");
    within("the worker to stop", worked)
        .await
        .expect("no panic")
        .expect("in order");
}

#[tokio::test]
async fn the_layer_counts_what_goes_wrong() {
    let record = Record::default();
    let _installed = set_default_local_recorder(&record);
    let server = RedisServer::start();
    let settings = Settings::on([&server]).capacity(1);
    let layer = settings.ours();
    let counter = |name: &str| record.counter(&format!("{name}{{backend=redis}}"));

    // The second message finds the channel full.
    let groups = layer.require_groups().expect("groups");
    let added = groups.group_add(&group("crowd"), &channel("small")).await;
    added.expect("the server answers");
    for _ in 0..2 {
        let sent = groups.send_group(&group("crowd"), message! {}).await;
        sent.expect("the server answers");
    }
    assert_eq!(counter("asgi_layer_full_members"), 1);

    let key = settings.key("0123456789abcdef0123456789abcdef");
    server.command(&["SET", &key, "no message"]);
    server.command(&["RPUSH", &settings.key("poison"), &key]);
    assert_eq!(look(&layer, "poison").await, None);
    assert_eq!(counter("asgi_layer_poisoned_messages"), 1);

    let short = settings.clone().prefix("short:").expiry(1);
    let brief = short.ours();
    let sent = brief.send(&channel("late"), message! {}).await;
    sent.expect("there is room");
    let body = server.command(&["LINDEX", &short.key("late"), "0"]);
    let body = body.text().to_owned();
    until("the message to expire", || server.keys(&body).is_empty()).await;
    assert_eq!(look(&brief, "late").await, None);
    assert_eq!(counter("asgi_layer_expired_messages"), 1);

    assert_eq!(counter("asgi_layer_reconnects"), 0);
    server.kill_clients();
    within("another connection", async {
        while layer.send(&channel("again"), message! {}).await.is_err() {}
    })
    .await;
    take(&layer, "again").await;
    assert_eq!(counter("asgi_layer_reconnects"), 1);
}

#[tokio::test]
async fn what_waits_is_told_when_asked() {
    let record = Record::default();
    let _installed = set_default_local_recorder(&record);
    vocabulary::describe();
    let units = record.units.lock().expect("nobody panics here").clone();
    assert_eq!(units["asgi_server_requests"], Unit::Count);
    assert_eq!(units["asgi_channel_messages_max_age"], Unit::Seconds);

    let layer = Settings::shared().ours();
    for _ in 0..3 {
        let sent = layer.send(&channel("queue"), message! {}).await;
        sent.expect("there is room");
    }
    let channels = [channel("queue"), channel("empty")];
    let age = "asgi_channel_messages_max_age{channel=queue}";
    within("some age", async {
        while record.gauge(age) <= 0.0 {
            let observed = vocabulary::observe(&layer, &channels).await;
            observed.expect("the server answers");
        }
    })
    .await;
    assert_eq!(
        record.gauge("asgi_channel_messages_pending{channel=queue}"),
        3.0
    );
    assert_eq!(
        record.gauge("asgi_channel_messages_pending{channel=empty}"),
        0.0
    );
}
