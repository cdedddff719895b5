//! The in-memory layer against the bare queues a program without a channel layer would use.
//!
//! `cargo bench -p asgiref --bench inmemory` measures each side by itself and then the ratios, for
//! which both sides take turns, so that they mean something on a busy machine too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use asgiref::{
    ChannelLayer, ChannelName, GroupName, InMemoryChannelLayer, LayerConfig, Message, message,
};
use criterion::Criterion;
use tokio::runtime::{Builder, Runtime};

/// How many members a group has, and how many queues there are to compare with.
const MEMBERS: usize = 10_000;

/// Does its work so many times and says how long it took.
type Side = Box<dyn FnMut(u64) -> Duration>;

struct Comparison {
    name: &'static str,
    /// How many times as long as the bare queue the layer may take, where that is promised.
    at_most: Option<f64>,
    /// How often a side does its work before it is the other's turn.
    turn: u64,
    bare: (&'static str, Side),
    layers: Vec<(&'static str, Side)>,
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(50)
        .configure_from_args();
    let mut comparisons = [send_and_receive(), group_send(), wake_and_receive()];
    for comparison in &mut comparisons {
        let mut group = criterion.benchmark_group(comparison.name);
        let sides = std::iter::once(&mut comparison.bare).chain(&mut comparison.layers);
        for (name, side) in sides {
            group.bench_function(*name, |bencher| bencher.iter_custom(&mut *side));
        }
        group.finish();
    }
    criterion.final_summary();
    // Other ways of running this, `cargo test` for one, measure nothing.
    if std::env::args().any(|argument| argument == "--bench") {
        comparisons.iter_mut().for_each(Comparison::print_ratios);
    }
}

impl Comparison {
    /// The median of many turns: what else runs on the machine disturbs some of them.
    fn print_ratios(&mut self) {
        const TURNS: usize = 101;
        for (name, layer) in &mut self.layers {
            let mut ratios: Vec<f64> = (0..TURNS)
                .map(|_| {
                    let bare = (self.bare.1)(self.turn);
                    layer(self.turn).as_secs_f64() / bare.as_secs_f64()
                })
                .collect();
            ratios.sort_unstable_by(f64::total_cmp);
            print!(
                "{}: {name} takes {:.2} times as long as {} (middle half {:.2} to {:.2})",
                self.name,
                ratios[TURNS / 2],
                self.bare.0,
                ratios[TURNS / 4],
                ratios[TURNS * 3 / 4],
            );
            match self.at_most {
                Some(at_most) => println!(", at most {at_most} is wanted"),
                None => println!(),
            }
        }
    }
}

/// One message of 100 bytes sent and received, nobody else around.
fn send_and_receive() -> Comparison {
    let layer = |idle| -> Side {
        let runtime = runtime();
        let layer = layer();
        let message = hundred_bytes();
        runtime.block_on(async {
            for at in 0..idle {
                let channel = name(format!("idle.{at}"));
                layer.send(&channel, message.clone()).await.expect("room");
            }
        });
        let channels = [ChannelName::from_static("http.request")];
        Box::new(move |times| {
            runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..times {
                    layer
                        .send(&channels[0], message.clone())
                        .await
                        .expect("room");
                    layer.receive(&channels).await.expect("a message");
                }
                start.elapsed()
            })
        })
    };
    let (sender, receiver) = async_channel::bounded::<Arc<[u8; 100]>>(100);
    let runtime = runtime();
    let content = Arc::new([7; 100]);
    Comparison {
        name: "send and receive",
        at_most: Some(5.0),
        turn: 2_000,
        bare: (
            "async-channel",
            Box::new(move |times| {
                runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..times {
                        sender.send(Arc::clone(&content)).await.expect("open");
                        receiver.recv().await.expect("open");
                    }
                    start.elapsed()
                })
            }),
        ),
        layers: vec![
            ("the layer", layer(0)),
            ("the layer with 100,000 idle channels", layer(100_000)),
        ],
    }
}

/// One message to many members; what they get is taken out again untimed.
fn group_send() -> Comparison {
    let own_queues = (0..MEMBERS).map(|at| format!("member.{at}"));
    let one_process = (0..MEMBERS).map(|at| format!("daphne.response.AbCdEfGh!{at}"));
    let mut ends: Vec<_> = (0..MEMBERS)
        .map(|_| tokio::sync::mpsc::channel(100))
        .collect();
    let content = Arc::new([7_u8; 100]);
    Comparison {
        name: "group send to 10,000",
        at_most: Some(4.0),
        turn: 3,
        bare: (
            "tokio mpsc",
            Box::new(move |times| {
                let mut elapsed = Duration::ZERO;
                for _ in 0..times {
                    let start = Instant::now();
                    for (sender, _) in &ends {
                        sender.try_send(Arc::clone(&content)).expect("room");
                    }
                    elapsed += start.elapsed();
                    for (_, receiver) in &mut ends {
                        receiver.try_recv().expect("a message");
                    }
                }
                elapsed
            }),
        ),
        layers: vec![
            ("the layer, a queue each,", group_of(own_queues.collect())),
            ("the layer, one process,", group_of(one_process.collect())),
        ],
    }
}

fn group_of(members: Vec<String>) -> Side {
    let members: Vec<_> = members.into_iter().map(name).collect();
    let received: Vec<_> = members.iter().map(|name| [name.to_non_local()]).collect();
    let everyone = GroupName::from_static("everyone");
    let message = hundred_bytes();
    let layer = layer();
    let runtime = runtime();
    runtime.block_on(async {
        let groups = layer.as_groups().expect("the layer has groups");
        for channel in &members {
            groups.group_add(&everyone, channel).await.expect("added");
        }
    });
    Box::new(move |times| {
        runtime.block_on(async {
            let groups = layer.as_groups().expect("the layer has groups");
            let mut elapsed = Duration::ZERO;
            for _ in 0..times {
                let message = message.clone();
                let start = Instant::now();
                groups.send_group(&everyone, message).await.expect("sent");
                elapsed += start.elapsed();
                for channels in &received {
                    layer.receive(channels).await.expect("a message");
                }
            }
            elapsed
        })
    })
}

/// A message and its answer between two tasks of one thread that wait for each other: what a
/// request costs the layer where nothing is ever waiting in a queue.
fn wake_and_receive() -> Comparison {
    let bare_runtime = runtime();
    let (ask, asked) = async_channel::bounded::<Arc<[u8; 100]>>(100);
    let (answer, answered) = async_channel::bounded(100);
    bare_runtime.spawn(async move {
        while let Ok(content) = asked.recv().await {
            answer.send(content).await.expect("open");
        }
    });
    let content = Arc::new([7; 100]);

    let layer_runtime = runtime();
    let layer = layer();
    let message = hundred_bytes();
    let request =
        ["http.request", "websocket.connect", "websocket.receive"].map(ChannelName::from_static);
    let reply = [ChannelName::from_static("daphne.response.AbCdEfGh!")];
    layer_runtime.spawn({
        let (layer, request) = (Arc::clone(&layer), request.clone());
        let reply = name("daphne.response.AbCdEfGh!one".to_owned());
        async move {
            while let Ok((_, message)) = layer.receive(&request).await {
                layer.send(&reply, message).await.expect("room");
            }
        }
    });
    Comparison {
        name: "request and answer",
        at_most: None,
        turn: 1_000,
        bare: (
            "async-channel",
            Box::new(move |times| {
                bare_runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..times {
                        ask.send(Arc::clone(&content)).await.expect("open");
                        answered.recv().await.expect("open");
                    }
                    start.elapsed()
                })
            }),
        ),
        layers: vec![(
            "the layer, three channels to one,",
            Box::new(move |times| {
                layer_runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..times {
                        layer
                            .send(&request[0], message.clone())
                            .await
                            .expect("room");
                        layer.receive(&reply).await.expect("an answer");
                    }
                    start.elapsed()
                })
            }),
        )],
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// Messages live long enough for idle channels to stay, and a process has room for a group.
fn layer() -> Arc<dyn ChannelLayer> {
    let config = LayerConfig::new()
        .expiry(Duration::from_secs(86_400))
        .channel_capacity("daphne.response.*!", MEMBERS)
        .expect("a valid pattern");
    Arc::new(InMemoryChannelLayer::with_config(config))
}

fn hundred_bytes() -> Message {
    message! { "content" => vec![7_u8; 100] }
}

fn name(text: String) -> ChannelName {
    ChannelName::new(text).expect("a valid name")
}
