//! Responses that come faster than their clients read.

use std::time::Duration;

use asgiref::{Message, message};

use crate::get;
use crate::support::app::App;
use crate::support::client::Client;
use crate::support::pattern::{Checker, pattern};
use crate::support::server::{SHORT, TestServer};
use crate::support::within;

/// The size of a response no buffer between server and client holds.
const LARGE: usize = 30_000_000;

/// Asks for a response, of which the client then reads the head.
async fn begin(app: &App, client: &mut Client) -> Message {
    client.limit_receive_buffer(65_536);
    client.send(get("/large")).await;
    let request = app.request().await;
    app.reply(
        &request,
        message! { "status" => 200, "more_content" => true },
    )
    .await;
    assert_eq!(client.head().await.status, 200);
    request
}

/// Sends a body of `length` bytes as fast as the reply channel takes it.
async fn flood(app: &App, request: &Message, length: usize) {
    let flood = async {
        for part in pattern(length).chunks(100_000) {
            let part = message! { "content" => part, "more_content" => true };
            app.reply(request, part).await;
        }
        app.reply(request, message! { "content" => b"" }).await;
    };
    within("the whole response to be taken", flood).await;
}

/// Reads chunks up to the last one.
async fn read_chunks(client: &mut Client) -> Checker {
    let mut checker = Checker::new();
    loop {
        let size = client
            .take("a chunk size", |input, _| {
                let end = input.windows(2).position(|window| window == b"\r\n")?;
                let text = std::str::from_utf8(&input[..end]).unwrap();
                Some((usize::from_str_radix(text, 16).unwrap(), end + 2))
            })
            .await;
        let mut left = size + 2;
        while left > 2 {
            let part = client
                .take("a part of a chunk", |input, _| {
                    let count = input.len().min(left - 2);
                    (count > 0).then(|| (input[..count].to_vec(), count))
                })
                .await;
            checker.add(&part);
            left -= part.len();
        }
        assert_eq!(client.exactly(2).await, b"\r\n");
        if size == 0 {
            return checker;
        }
    }
}

#[tokio::test]
async fn a_response_waits_for_its_client_and_arrives_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::configured(|builder| {
        builder
            .max_queued_response(100, 200_000)
            .spool_directory(folder.path())
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    let request = begin(&app, &mut client).await;
    // The application is done before the client has read anything.
    flood(&app, &request, LARGE).await;
    server.expect_serving().await;
    let read = within("the response", read_chunks(&mut client)).await;
    assert_eq!(read.report(), format!("{LARGE} bytes, right"));
    assert_eq!(server.statistics().slow_clients, 0);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "files are left behind");
    // The connection is good for another request.
    client.send(get("/next")).await;
    let next = app.request().await;
    app.reply(&next, message! { "status" => 200, "content" => b"next" })
        .await;
    assert_eq!(client.response().await.body, b"next");
}

#[tokio::test]
async fn a_response_that_outgrows_its_space_is_broken_off() {
    let server = TestServer::configured(|builder| {
        builder
            .max_queued_response(100, 200_000)
            .response_spool(1_000_000, 1_000_000)
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    let request = begin(&app, &mut client).await;
    flood(&app, &request, LARGE).await;
    let gone = app.next("http.disconnect").await;
    assert_eq!(gone.text("path").unwrap(), "/large");
    assert_eq!(server.statistics().slow_clients, 1);
    let rest = client.rest().await;
    assert!(rest.len() < LARGE && !rest.ends_with(b"0\r\n\r\n"));
    server.expect_serving().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up_as_soon_as_its_response_has_no_space() {
    let server = TestServer::configured(|builder| {
        builder
            .max_queued_response(100, 200_000)
            .response_spool(0, 0)
            // Longer than any test.
            .send_timeout(Duration::from_secs(3_600))
            .response_idle_timeout(None)
    })
    .await;
    let app = server.app();
    let mut client = server.connect().await;
    let request = begin(&app, &mut client).await;
    // One piece after the other, so that the server can write as much as the sockets hold and is
    // blocked in that when there is no more space.
    let steadily = async {
        let part = message! { "content" => vec![0; 100_000], "more_content" => true };
        loop {
            app.reply(&request, part.clone()).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let gone = tokio::select! {
        gone = app.next("http.disconnect") => gone,
        () = steadily => unreachable!("it goes on for ever"),
    };
    assert_eq!(gone.text("path").unwrap(), "/large");
    assert_eq!(server.statistics().slow_clients, 1);
    client.rest().await;
    assert!(client.was_reset());
    server.expect_serving().await;
}

#[tokio::test]
async fn the_space_on_disk_is_shared_and_given_back() {
    let server = TestServer::configured(|builder| {
        builder
            .max_queued_response(100, 200_000)
            .response_spool(12_000_000, 12_000_000)
            .send_timeout(2 * SHORT)
    })
    .await;
    let app = server.app();
    // Each takes all there is; it is there again once the one before has been given up.
    for _ in 0..3 {
        let mut client = server.connect().await;
        let request = begin(&app, &mut client).await;
        flood(&app, &request, LARGE).await;
        app.next("http.disconnect").await;
    }
    let mut client = server.connect().await;
    let request = begin(&app, &mut client).await;
    let (read, ()) = tokio::join!(
        within("the response", read_chunks(&mut client)),
        flood(&app, &request, LARGE / 3),
    );
    assert_eq!(read.report(), format!("{} bytes, right", LARGE / 3));
}
