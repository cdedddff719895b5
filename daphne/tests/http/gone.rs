//! Clients that leave before their answer is complete.

use asgiref::protocol::http::Disconnect;
use asgiref::{LayerConfig, Message, message};
use daphne::DisconnectMessages;

use crate::support::app::App;
use crate::support::server::{SHORT, TestServer};
use crate::{get, post};

/// Checks that `gone` is about `request`.
fn assert_is_about(gone: &Message, request: &Message) {
    let disconnect = Disconnect::try_from(gone).expect("a valid message");
    assert_eq!(disconnect.path, request.text("path").unwrap());
    assert_eq!(
        disconnect.reply_channel,
        request.channel("reply_channel").unwrap()
    );
    assert_eq!(gone.len(), 2, "unknown keys: {gone}");
}

#[tokio::test]
async fn a_client_gone_before_the_answer_is_reported() {
    let server = TestServer::start().await;
    let app = server.app();
    for abort in [false, true] {
        let mut client = server.connect().await;
        client.send(get("/long-poll")).await;
        let request = app.request().await;
        if abort {
            client.abort();
        } else {
            drop(client);
        }
        assert_is_about(&app.next("http.disconnect").await, &request);
        // What the application still says is dropped.
        app.reply(&request, message! { "status" => 200 }).await;
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn a_client_gone_mid_response_is_reported() {
    let server = TestServer::start().await;
    let app = server.app();
    for abort in [false, true] {
        let mut client = server.connect().await;
        client.send(get("/events")).await;
        let request = app.request().await;
        let start = message! { "status" => 200, "content" => b"first", "more_content" => true };
        app.reply(&request, start).await;
        client.head().await;
        client.expect_chunk(b"first").await;
        if abort {
            client.abort();
        } else {
            drop(client);
        }
        assert_is_about(&app.next("http.disconnect").await, &request);
        for _ in 0..10 {
            let part = message! { "content" => b"lost", "more_content" => true };
            app.reply(&request, part).await;
        }
    }
    server.expect_serving().await;
}

#[tokio::test]
async fn a_client_gone_with_more_requests_in_the_pipeline_is_reported_when_it_is_written_to() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(format!("{}{}", get("/1"), get("/2"))).await;
    let first = app.request().await;
    client.abort();
    let start = message! { "status" => 200, "more_content" => true };
    app.reply(&first, start).await;
    let gone = tokio::select! {
        gone = app.next("http.disconnect") => gone,
        () = stream(&app, &first) => unreachable!("it never ends"),
    };
    assert_is_about(&gone, &first);
    server.expect_serving().await;
    assert!(
        app.pending().await.is_empty(),
        "the second request was served"
    );
}

/// Goes on with a response, for ever.
async fn stream(app: &App, request: &Message) {
    loop {
        let part = message! { "content" => b"more", "more_content" => true };
        app.reply(request, part).await;
        tokio::time::sleep(SHORT / 50).await;
    }
}

#[tokio::test]
async fn no_disconnect_follows_a_complete_response_by_default() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.send(get("/")).await;
        let request = app.request().await;
        app.reply(&request, message! { "status" => 200 }).await;
        client.response().await;
    }
    drop(client);
    server.expect_serving().await;
    assert!(app.pending().await.is_empty());
}

#[tokio::test]
async fn a_disconnect_follows_every_response_if_asked_for() {
    let server =
        TestServer::configured(|builder| builder.disconnect_messages(DisconnectMessages::Always))
            .await;
    let app = server.app();
    let mut client = server.connect().await;
    for path in ["/1", "/2"] {
        client.send(get(path)).await;
        let request = app.request().await;
        app.reply(&request, message! { "status" => 200 }).await;
        client.response().await;
        assert_is_about(&app.next("http.disconnect").await, &request);
    }
}

#[tokio::test]
async fn a_full_disconnect_channel_holds_nothing_up() {
    let config = LayerConfig::new()
        .channel_capacity("http.disconnect", 1)
        .unwrap();
    let server = TestServer::with_config(config, |builder| {
        builder.disconnect_messages(DisconnectMessages::Always)
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    for _ in 0..10 {
        client.send(get("/")).await;
        let request = app.request().await;
        app.reply(&request, message! { "status" => 200 }).await;
        assert_eq!(client.response().await.head.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up_and_the_others_are_served() {
    let server = TestServer::configured(|builder| builder.send_timeout(2 * SHORT)).await;
    let app = server.app();
    let mut client = server.connect().await;
    client.limit_receive_buffer(4_096);
    client.send(get("/flood")).await;
    let request = app.request().await;
    let start = message! { "status" => 200, "more_content" => true };
    app.reply(&request, start).await;
    let flood = app.clone();
    let flooded = request.clone();
    let flooding = tokio::spawn(async move {
        // 40 MB, more than every buffer on the way holds.
        for _ in 0..80 {
            let part = message! { "content" => vec![b'x'; 512 * 1024], "more_content" => true };
            flood.reply(&flooded, part).await;
        }
    });
    server.expect_serving().await;
    assert_is_about(&app.next("http.disconnect").await, &request);
    flooding.await.unwrap();
    server.expect_serving().await;
    assert!(client.rest().await.len() < 80 * 512 * 1024);
}

#[tokio::test]
async fn a_client_gone_mid_upload_without_an_answer_is_reported() {
    let server = TestServer::start().await;
    let app = server.app();
    let mut client = server.connect().await;
    client.send(post("/p", &["Content-Length: 2000000"])).await;
    client.send(vec![b'x'; 1_000_000]).await;
    let request = app.request().await;
    drop(client);
    assert!(app.upload(&request).await.closed);
    assert_is_about(&app.next("http.disconnect").await, &request);
}
