//! Settings of a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use asgiref::{Extension, message};
use channels::{Outcome, Router, Worker, WorkerBuilder, route};
use tokio::sync::Notify;

use crate::common::{Running, echo, failing, failing_layer};
use crate::support::{layer, name, send};

#[test]
fn settings_that_cannot_work_are_refused() {
    let builder =
        || -> WorkerBuilder { Worker::builder(layer(), Router::new().route(route("test", echo))) };
    let refused = |builder: WorkerBuilder| builder.build().unwrap_err().to_string();
    assert_eq!(
        refused(Worker::builder(layer(), Router::new())),
        "no channels to listen on: there are no routes"
    );
    assert_eq!(
        refused(builder().only_channels(["http.*"])),
        "no channels to listen on: only channels [\"http.*\"] without [] leaves none of those \
         with routes (test)"
    );
    assert_eq!(
        refused(builder().concurrency(0)),
        "concurrency: must be at least 1"
    );
    let local = Router::new().route(route("service!part", echo));
    assert!(refused(Worker::builder(layer(), local)).starts_with("invalid channel name"));
    let layer = failing_layer(0);
    let router = Router::new().route(route("test", echo));
    assert_eq!(
        refused(Worker::builder(layer, router).require([Extension::Groups])),
        "Failing does not provide the groups extension"
    );
    assert!(builder().require([Extension::Groups]).build().is_ok());
}

#[tokio::test]
async fn the_given_functions_are_told() {
    async fn fails() -> Outcome {
        Err(failing())
    }
    let layer = layer();
    let (ready, messages) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let worker = Worker::builder(layer.clone(), Router::new().route(route("test", fails)))
        .on_ready({
            let ready = Arc::clone(&ready);
            move || ready.notify_one()
        })
        .on_message({
            let messages = Arc::clone(&messages);
            move |channel, message| {
                assert_eq!(channel, &name("test"));
                assert_eq!(message, &message! { "a" => 1 });
                messages.fetch_add(1, Ordering::Relaxed);
            }
        })
        .on_error(|report| {
            assert!(report.consumer.ends_with("fails"), "{}", report.consumer);
            assert_eq!(report.message, &message! { "a" => 1 });
            assert_eq!(report.error.to_string(), "it went wrong");
            // Not even this ends the worker.
            panic!("an error reporter with an error");
        })
        .build()
        .unwrap();
    let running = Running::start(&worker);
    ready.notified().await;
    for _ in 0..5 {
        send(&*layer, "test", message! { "a" => 1 }).await;
    }
    while messages.load(Ordering::Relaxed) < 5 {
        tokio::task::yield_now().await;
    }
    running.stop().await.unwrap();
    assert_eq!(worker.statistics().errors, 5);
}
