//! The ways to reach a broker.

mod support;

use std::error::Error as _;
use std::time::Duration;

use asgi_rabbitmq::{RabbitmqChannelLayer, RabbitmqChannelLayerBuilder};
use asgiref::{ChannelLayer as _, Error, message};
use support::broker::{Broker, BrokerOptions};
use support::pair::{channel, look, take};
use support::within;

fn at(url: &str) -> RabbitmqChannelLayer {
    let layer = builder(url).build();
    layer.unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// A layer that soon gives up.
fn builder(url: &str) -> RabbitmqChannelLayerBuilder {
    let builder = RabbitmqChannelLayer::builder().url(url);
    builder.connect_timeout(Duration::from_secs(1))
}

async fn expect_working(layer: &RabbitmqChannelLayer) {
    let message = message! { "value" => 1 };
    layer
        .send(&channel("somewhere"), message.clone())
        .await
        .expect("there is room");
    assert_eq!(take(layer, "somewhere").await.1, message);
}

/// What `layer` says of a send, with all causes.
async fn refusal(layer: &RabbitmqChannelLayer) -> String {
    let sent = within("send", layer.send(&channel("somewhere"), message! {})).await;
    let error = sent.expect_err("it cannot be sent");
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// A user with all rights in a virtual host.
fn add_user(broker: &Broker, name: &str, password: &str, virtual_host: &str) {
    broker.evaluate(&format!(
        r#"ok = rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{password}">>, <<"tests">>),
        All = <<".*">>,
        ok = rabbit_auth_backend_internal:set_permissions(
            <<"{name}">>, <<"{virtual_host}">>, All, All, All, <<"tests">>)"#
    ));
}

#[tokio::test]
async fn tcp_by_address_and_by_name() {
    let broker = Broker::shared();
    let name = broker.virtual_host();
    expect_working(&at(&broker.url(&name))).await;
    expect_working(&at(&format!("amqp://localhost:{}/{name}", broker.port()))).await;
}

#[tokio::test]
async fn virtual_hosts_do_not_see_each_other() {
    let broker = Broker::shared();
    let [one, other] = [(); 2].map(|()| at(&broker.url(&broker.virtual_host())));
    other
        .send(&channel("somewhere"), message! {})
        .await
        .expect("there is room");
    assert_eq!(look(&one, "somewhere").await, None);
    assert_eq!(take(&other, "somewhere").await.0, "somewhere");
    expect_working(&one).await;
}

#[tokio::test]
async fn virtual_hosts_may_have_any_name() {
    let broker = Broker::shared();
    for name in ["a/b", "100%", "with space", "é"] {
        broker.add_virtual_host(name);
        expect_working(&at(&broker.url(name))).await;
    }
    expect_working(&at(&format!("amqp://localhost:{}/%2f", broker.port()))).await;
}

#[tokio::test]
async fn users_and_passwords() {
    let broker = Broker::shared();
    let name = broker.virtual_host();
    add_user(broker, "site", "p@ss word/", &name);
    let url = |password: &str| format!("amqp://site:{password}@127.0.0.1:{}/{name}", broker.port());
    expect_working(&at(&url("p%40ss%20word%2F"))).await;
    let text = refusal(&at(&url("a-wrong-one"))).await;
    assert!(text.contains("ACCESS"), "{text}");
    assert!(!text.contains("a-wrong-one"), "{text}");
    let elsewhere = broker.virtual_host();
    let url = format!(
        "amqp://site:p%40ss%20word%2F@127.0.0.1:{}/{elsewhere}",
        broker.port()
    );
    refusal(&at(&url)).await;
}

#[tokio::test]
async fn the_first_that_answers_of_several() {
    let broker = Broker::shared();
    let gone = support::port::free_port();
    let name = broker.virtual_host();
    let url = format!(
        "amqp://guest:guest@127.0.0.1:{gone},127.0.0.1:{}/{name}",
        broker.port()
    );
    for _ in 0..5 {
        expect_working(&at(&url)).await;
    }
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own() {
    let broker = BrokerOptions::new().tls().start();
    let tls = builder(&broker.tls_url());
    let layer = tls.tls_ca(&broker.certificate().authority).build();
    expect_working(&layer.expect("the certificate can be read")).await;
}

#[tokio::test]
async fn tls_with_an_authority_nobody_trusts() {
    let broker = BrokerOptions::new().tls().start();
    let text = refusal(&at(&broker.tls_url())).await;
    assert!(text.to_lowercase().contains("certificate"), "{text}");

    // Nothing is said in the clear to whoever listens, and nobody waits for ever.
    refusal(&at(&format!("amqps://127.0.0.1:{}", broker.port()))).await;
    refusal(&at(&format!("amqp://127.0.0.1:{}", broker.tls_port()))).await;
}

#[tokio::test]
async fn texts_about_a_layer_hold_no_secrets() {
    let layer = builder("amqp://someone:a-secret@127.0.0.1:1/site")
        .symmetric_encryption_keys(["another-secret"])
        .build()
        .expect("the settings are valid");
    let texts = [
        layer.to_string(),
        format!("{layer:?}"),
        refusal(&layer).await,
    ];
    for text in texts {
        assert!(text.contains("127.0.0.1"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
