//! Responses that are being streamed when their client goes away.
#![allow(missing_docs, reason = "tests are named for the rule they check")]

mod http_support;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use asgiref::protocol::http::{DISCONNECT, Disconnect, Response as ResponsePart};
use asgiref::{ChannelLayer, ChannelName, InMemoryChannelLayer};
use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::routing::get as on_get;
use channels::http::{AsgiHandler, AsgiRequest, ResponseLater};
use channels::{DefaultRoutes, Worker};
use futures_util::stream;
use http::Response;
use http_support::{REPLY_CHANNEL, Site, get};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A service whose responses never end; what is returned is closed when one has ended.
fn endless() -> (Router, mpsc::Receiver<()>) {
    let (running, ended) = mpsc::channel(1);
    let body = move || {
        let parts = stream::unfold(running.clone(), |running| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>("tick\n"), running))
        });
        Body::from_stream(parts)
    };
    let later = body.clone();
    let router = Router::new()
        .route("/", on_get(|| async move { body() }))
        .route(
            "/later",
            on_get(|Extension(request): Extension<AsgiRequest>| async move {
                let response = Response::new(later());
                tokio::spawn(async move { request.reply_channel().respond(response).await });
                Response::<Body>::from(ResponseLater)
            }),
        );
    (router, ended)
}

/// A site and another worker on its channel layer that has the default routes.
fn site_and_other_worker(router: Router) -> (Site, Worker) {
    let site = Site::new(AsgiHandler::new(router));
    let other = default_worker(site.layer.clone());
    (site, other)
}

fn default_worker(layer: Arc<InMemoryChannelLayer>) -> Worker {
    let routes = channels::Router::new();
    let worker = Worker::builder(layer, routes).default_routes(DefaultRoutes::new());
    worker.build().expect("a worker")
}

async fn leaves(site: &Site, reply_channel: ChannelName) {
    let disconnect = Disconnect {
        reply_channel,
        path: "/".into(),
    };
    site.send(DISCONNECT.as_str(), disconnect).await;
}

/// Whether `future` ends within an hour of the test's time.
async fn ends(future: impl Future) -> bool {
    timeout(Duration::from_secs(3600), future).await.is_ok()
}

/// A site whose worker also hears of clients that go away.
fn site(router: Router) -> Site {
    let mut site = Site::new(AsgiHandler::new(router.clone()));
    let defaults = DefaultRoutes::new().http(AsgiHandler::new(router));
    let worker = Worker::builder(site.layer.clone(), channels::Router::new());
    site.worker = worker.default_routes(defaults).build().expect("a worker");
    site
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_client_goes_away() {
    let (router, mut ended) = endless();
    let site = site(router);
    let serve = site.consume(get("/"));
    let client = async {
        assert_eq!(site.reply().await.status, Some(200));
        assert_eq!(site.reply().await, ResponsePart::chunk("tick\n", true));
        leaves(&site, ChannelName::from_static("test.response!other")).await;
        assert!(site.worker.run_once().await.expect("a layer"));
        assert_eq!(site.reply().await, ResponsePart::chunk("tick\n", true));
        leaves(&site, REPLY_CHANNEL).await;
        assert!(site.worker.run_once().await.expect("a layer"));
    };
    assert!(ends(async { tokio::join!(serve, client) }).await);
    assert_eq!(site.worker.statistics().errors, 0);
    drop(site);
    assert!(ends(ended.recv()).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_whichever_worker_hears_that_its_client_is_gone() {
    let (router, _ended) = endless();
    let (site, other) = site_and_other_worker(router);
    let serve = site.consume(get("/"));
    let client = async {
        for _ in 0..2 {
            assert!(site.reply().await.more_content);
        }
        leaves(&site, REPLY_CHANNEL).await;
        assert!(other.run_once().await.expect("a layer"));
    };
    assert!(ends(async { tokio::join!(serve, client) }).await);
    assert_eq!(site.worker.statistics().errors, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_to_a_client_that_left_before_does_not_begin() {
    let (router, _ended) = endless();
    let site = site(router);
    leaves(&site, REPLY_CHANNEL).await;
    assert!(site.worker.run_once().await.expect("a layer"));
    assert!(ends(site.consume(get("/"))).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_from_another_task_ends_too() {
    let (router, mut ended) = endless();
    let site = site(router);
    site.consume(get("/later")).await;
    assert_eq!(site.reply().await.status, Some(200));
    leaves(&site, REPLY_CHANNEL).await;
    assert!(site.worker.run_once().await.expect("a layer"));
    drop(site);
    assert!(ends(ended.recv()).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_a_day() {
    let (router, _ended) = endless();
    let site = site(router);
    let began = tokio::time::Instant::now();
    let serve = site.consume(get("/"));
    let client = async { while site.reply().await.more_content {} };
    tokio::join!(serve, client);
    assert_eq!(began.elapsed().as_secs(), 86_400);
    assert_eq!(site.worker.statistics().errors, 1);
}

#[tokio::test(start_paused = true)]
async fn workers_that_are_gone_are_no_members_any_more() {
    let (router, _ended) = endless();
    let site = site(router);
    let layer = site.layer.clone();
    let group = asgiref::GroupName::from_static("http.disconnect");
    let members = || async {
        let groups = layer.as_groups().expect("groups");
        groups.group_channels(&group).await.expect("a layer").len()
    };
    assert_eq!(members().await, 0, "nothing was streamed");
    let client = async {
        for _ in 0..2 {
            assert!(site.reply().await.more_content);
        }
    };
    tokio::select! {
        () = site.consume(get("/")) => panic!("the stream ended"),
        () = client => {}
    }
    assert_eq!(members().await, 1);
    drop(site);
    let gone = async {
        while members().await > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    assert!(ends(gone).await);
}
