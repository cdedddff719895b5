//! What the original did with recorded messages.

use std::collections::BTreeMap;

use asgiref::{Message, message};
use channels::{ConsumerError, Context, Error, Outcome, Router, Worker, route};
use serde_json::Value as Json;

use crate::common::{self, echo};
use crate::support::{REPLY, drain, layer, message_from, send, small_layer, vectors, worker};

#[test]
fn channels_are_chosen_as_recorded() {
    let all = [
        "http.request",
        "http.disconnect",
        "websocket.connect",
        "websocket.receive",
        "websocket.disconnect",
        "thumb",
        "Thumb",
        "a.b",
    ];
    let globs = |list: &Json| -> Vec<String> {
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|glob| glob.as_str().unwrap().to_owned())
            .collect()
    };
    let mut cases = 0;
    for vector in vectors("ch_worker_filters") {
        let built = Worker::builder(layer(), Router::new().route(route(all, echo)))
            .only_channels(globs(&vector["only"]))
            .exclude_channels(globs(&vector["exclude"]))
            .build();
        let mut expected = globs(&vector["result"]);
        expected.sort();
        match built {
            Ok(worker) => {
                let channels: Vec<_> = worker.channels().iter().map(ToString::to_string).collect();
                assert_eq!(channels, expected, "{vector}");
            }
            // The original idles on an empty list; this is an error here.
            Err(Error::NoChannels { .. }) => assert!(expected.is_empty(), "{vector}"),
            Err(other) => panic!("{vector}: {other}"),
        }
        cases += 1;
    }
    assert_eq!(cases, 9);
}

/// The consumers of the recorded cases, by the name of the case.
fn recorded_router(case: &str) -> Router {
    async fn boom(cx: Context) {
        cx.reply(message! { "text" => "before" });
        panic!("boom");
    }
    async fn deny(cx: Context) -> Outcome {
        cx.reply(message! { "text" => "q" });
        Err(ConsumerError::DenyConnection)
    }
    async fn close() -> Outcome {
        Err(ConsumerError::CloseConnection { code: 4001 })
    }
    async fn later(cx: Context) -> Outcome {
        cx.reply(message! { "text" => "sent even though later" });
        Err(ConsumerError::ConsumeLater)
    }
    async fn doomed(cx: Context) {
        assert_eq!(cx.is_last_attempt(), cx.retries() == 10);
    }
    async fn full(cx: Context) -> Outcome {
        for i in 0..4 {
            cx.channel("full")?.send(message! { "i" => i });
        }
        Ok(())
    }
    let routes = Router::new();
    let channels = ["websocket.receive", "websocket.connect"];
    match case {
        "echo" => {
            async fn echo(cx: Context) {
                cx.reply(message! { "text" => "x" });
            }
            routes.route(route(channels, echo))
        }
        "exception after send still flushes" => routes.route(route(channels, boom)),
        "DenyConnection on websocket.connect" | "DenyConnection on other channel kills worker" => {
            routes.route(route(channels, deny))
        }
        "WebsocketCloseException, daphne-style reply channel"
        | "WebsocketCloseException, websocket.* reply channel" => {
            routes.route(route(channels, close))
        }
        "ConsumeLater once" | "ConsumeLater at __retries__=10" => {
            routes.route(route(channels, later))
        }
        "ConsumeLater 12 loops (limit 10)" => routes.route(route(channels, common::later)),
        "doomed flag at 10" | "doomed flag at 9" => routes.route(route(channels, doomed)),
        "pending send to a full channel: retried 2 s every 0.2 s then RuntimeError escapes" => {
            routes.route(route(channels, full))
        }
        unknown => panic!("no consumer for {unknown:?}"),
    }
}

/// Cases in which the original's worker died. Ours goes on, and what is on the channels
/// afterwards may differ: the message that is named, in place of the recorded ones.
fn deviation(case: &str) -> Option<(&'static str, Message)> {
    match case {
        // The exception for closing works with daphne's reply channels, too.
        "WebsocketCloseException, daphne-style reply channel" => {
            Some(("daphne.response.abc!", message! { "close" => 4001 }))
        }
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_dealt_with_as_recorded() {
    let mut cases = 0;
    for vector in vectors("ch_worker_cases") {
        let case = vector["name"].as_str().unwrap();
        // Tested below: the recorded worker listened on a channel without routes.
        if case == "no matching route" {
            continue;
        }
        let capacity = if case.starts_with("pending send") {
            2
        } else {
            100
        };
        let layer = small_layer(capacity);
        let worker = worker(&layer, recorded_router(case));
        let channel = vector["channel"].as_str().unwrap();
        send(&*layer, channel, message_from(&vector["content"])).await;
        for _ in 0..vector["loops"].as_u64().unwrap() {
            worker.run_once().await.unwrap();
        }
        let mut after: BTreeMap<String, Vec<Message>> = BTreeMap::new();
        for (channel, messages) in vector["after"].as_object().unwrap() {
            let messages = messages.as_array().unwrap().iter();
            let messages = messages.map(|message| message_from(&message[1])).collect();
            after.insert(channel.clone(), messages);
        }
        if let Some((channel, message)) = deviation(case) {
            after.insert(channel.to_owned(), vec![message]);
        }
        for (channel, expected) in after {
            assert_eq!(
                drain(&*layer, &channel).await,
                expected,
                "{case}: {channel}"
            );
        }
        // In every case the worker is alive.
        send(&*layer, channel, message! { "reply_channel" => REPLY }).await;
        assert!(worker.run_once().await.unwrap(), "{case}");
        cases += 1;
    }
    assert_eq!(cases, 12);
}
