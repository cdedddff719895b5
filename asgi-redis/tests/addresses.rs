//! The ways to reach a server.

mod support;

use std::error::Error as _;
use std::time::Duration;

use asgi_redis::{RedisChannelLayer, RedisChannelLayerBuilder};
use asgiref::{ChannelLayer as _, Error, message};
use support::pair::{channel, look, take};
use support::resp::Reply;
use support::server::{RedisOptions, RedisServer};
use support::within;

fn at(url: &str) -> RedisChannelLayer {
    let layer = builder(url).build();
    layer.unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// A layer that soon gives up.
fn builder(url: &str) -> RedisChannelLayerBuilder {
    let builder = RedisChannelLayer::builder().host(url);
    builder.connect_timeout(Duration::from_millis(700))
}

/// A message goes to `server` and comes back.
async fn expect_working(layer: &RedisChannelLayer, server: &RedisServer) {
    let message = message! { "value" => 1 };
    layer
        .send(&channel("somewhere"), message.clone())
        .await
        .expect("there is room");
    assert_eq!(server.command(&["LLEN", "asgi:somewhere"]), Reply::Int(1));
    assert_eq!(take(layer, "somewhere").await.1, message);
}

/// What `layer` says of a send, with all causes.
async fn refusal(layer: &RedisChannelLayer) -> String {
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

#[tokio::test]
async fn tcp_by_address_and_by_name() {
    let server = RedisServer::start();
    expect_working(&at(&server.url()), &server).await;
    expect_working(
        &at(&format!("redis://localhost:{}", server.port())),
        &server,
    )
    .await;
}

#[tokio::test]
async fn unix_sockets() {
    let server = RedisServer::start();
    expect_working(
        &at(&format!("redis+unix://{}", server.socket().display())),
        &server,
    )
    .await;
}

#[tokio::test]
async fn databases_do_not_see_each_other() {
    let server = RedisServer::start();
    let [zero, three] =
        [0, 3].map(|number| at(&format!("redis://127.0.0.1:{}/{number}", server.port())));
    three
        .send(&channel("somewhere"), message! {})
        .await
        .expect("there is room");
    assert_eq!(look(&zero, "somewhere").await, None);
    assert_eq!(take(&three, "somewhere").await.0, "somewhere");
    expect_working(&zero, &server).await;
}

#[tokio::test]
async fn passwords() {
    let server = RedisOptions::new().password("p@ss word").start();
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port());
    expect_working(&at(&url("p%40ss%20word")), &server).await;
    let text = refusal(&at(&url("a-wrong-one"))).await;
    assert!(text.contains("WRONGPASS"), "{text}");
    assert!(!text.contains("a-wrong-one"), "{text}");
    let text = refusal(&at(&format!("redis://127.0.0.1:{}", server.port()))).await;
    assert!(text.contains("NOAUTH"), "{text}");
}

#[tokio::test]
async fn users_with_the_rights_they_need() {
    let server = RedisServer::start();
    let add_user = [
        "ACL",
        "SETUSER",
        "site",
        "on",
        ">secret",
        "resetkeys",
        "resetchannels",
    ];
    let rights = [
        "~asgi:*",
        "~asgi-meta:*",
        "&*",
        "+@all",
        "-@dangerous",
        "-@admin",
    ];
    server.command(&[&add_user[..], &rights].concat());
    let layer = at(&format!("redis://site:secret@127.0.0.1:{}", server.port()));
    expect_working(&layer, &server).await;

    server.command(&["ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read"]);
    let layer = at(&format!(
        "redis://reader:secret@127.0.0.1:{}",
        server.port()
    ));
    let text = refusal(&layer).await;
    assert!(text.contains("NOPERM"), "{text}");
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own() {
    let server = RedisOptions::new().tls().start();
    let tls = builder(&server.tls_url());
    let layer = tls.tls_ca(&server.certificate().authority).build();
    expect_working(&layer.expect("the certificate can be read"), &server).await;
}

#[tokio::test]
async fn tls_with_an_authority_nobody_trusts() {
    let server = RedisOptions::new().tls().start();
    let text = refusal(&at(&server.tls_url())).await;
    assert!(text.to_lowercase().contains("certificate"), "{text}");
    let other = RedisOptions::new().tls().start();
    let tls = builder(&server.tls_url());
    let layer = tls.tls_ca(&other.certificate().authority).build();
    let text = refusal(&layer.expect("the certificate can be read")).await;
    assert!(text.to_lowercase().contains("certificate"), "{text}");
    assert_eq!(server.command(&["EXISTS", "asgi:somewhere"]), Reply::Int(0));
}

/// Nothing is said in the clear to whoever listens, and nobody waits for ever.
#[tokio::test]
async fn tls_to_a_port_without_it_is_refused() {
    let server = RedisServer::start();
    refusal(&at(&format!("rediss://127.0.0.1:{}", server.port()))).await;
    let server = RedisOptions::new().tls().start();
    let (_, port) = server
        .tls_url()
        .rsplit_once(':')
        .map(|(_, rest)| ((), rest.to_owned()))
        .expect("a port");
    refusal(&at(&format!("redis://127.0.0.1:{port}"))).await;
}

#[tokio::test]
async fn texts_about_a_layer_hold_no_secrets() {
    let layer = builder("redis://someone:a-secret@127.0.0.1:1/0")
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
