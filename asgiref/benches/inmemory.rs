//! The in-memory layer against the bare queues a program without a channel layer would use.
//!
//! Each comparison prints both sides in one run, so that the ratio is what counts, whatever the
//! machine: `cargo bench -p asgiref --bench inmemory`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use asgiref::{ChannelLayer, ChannelName, GroupName, InMemoryChannelLayer, LayerConfig, Message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

fn hundred_bytes() -> Message {
    asgiref::message! { "content" => vec![7_u8; 100] }
}

fn name(text: String) -> ChannelName {
    ChannelName::new(text).expect("a valid name")
}

/// One message sent and received, nobody else around.
fn send_receive(criterion: &mut Criterion) {
    let runtime = runtime();
    let message = hundred_bytes();
    let channel = ChannelName::from_static("http.request");
    let mut group = criterion.benchmark_group("send+receive");

    group.bench_function("async-channel", |bencher| {
        let (sender, receiver) = async_channel::bounded::<Arc<[u8; 100]>>(100);
        let content = Arc::new([7; 100]);
        bencher.iter_custom(|iterations| {
            runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..iterations {
                    sender.send(Arc::clone(&content)).await.expect("open");
                    receiver.recv().await.expect("open");
                }
                start.elapsed()
            })
        });
    });
    for idle in [0, 100_000] {
        let layer: Arc<dyn ChannelLayer> = Arc::new(InMemoryChannelLayer::with_config(
            LayerConfig::new().expiry(Duration::from_secs(86_400)),
        ));
        runtime.block_on(async {
            for at in 0..idle {
                let channel = name(format!("idle.{at}"));
                layer.send(&channel, message.clone()).await.expect("room");
            }
        });
        group.bench_function(BenchmarkId::new("layer, idle channels", idle), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(async {
                    let channels = [channel.clone()];
                    let start = Instant::now();
                    for _ in 0..iterations {
                        layer.send(&channel, message.clone()).await.expect("room");
                        layer.receive(&channels).await.expect("a message");
                    }
                    start.elapsed()
                })
            });
        });
    }
    group.finish();
}

/// One message to many members, and every member's message taken out again.
fn group_send(criterion: &mut Criterion) {
    const MEMBERS: usize = 10_000;
    let runtime = runtime();
    let message = hundred_bytes();
    let everyone = GroupName::from_static("everyone");
    let mut group = criterion.benchmark_group("group send");
    group.throughput(Throughput::Elements(MEMBERS as u64));
    group.sample_size(50);

    group.bench_function("tokio mpsc", |bencher| {
        let content = Arc::new([7_u8; 100]);
        let mut ends: Vec<_> = (0..MEMBERS)
            .map(|_| tokio::sync::mpsc::channel(100))
            .collect();
        bencher.iter_custom(|iterations| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..iterations {
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
        });
    });

    let own_queues: Vec<_> = (0..MEMBERS)
        .map(|at| name(format!("member.{at}")))
        .collect();
    let one_process: Vec<_> = (0..MEMBERS)
        .map(|at| name(format!("daphne.response.AbCdEfGh!{at}")))
        .collect();
    for (shape, members) in [("own queues", own_queues), ("one process", one_process)] {
        let layer: Arc<dyn ChannelLayer> = Arc::new(InMemoryChannelLayer::with_config(
            LayerConfig::new()
                .channel_capacity("daphne.response.*!", MEMBERS)
                .expect("a valid pattern"),
        ));
        let groups = layer.as_groups().expect("the layer has groups");
        runtime.block_on(async {
            for channel in &members {
                groups.group_add(&everyone, channel).await.expect("added");
            }
        });
        let received: Vec<_> = members.iter().map(|name| [name.to_non_local()]).collect();
        group.bench_function(BenchmarkId::new("layer", shape), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(async {
                    let mut elapsed = Duration::ZERO;
                    for _ in 0..iterations {
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
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = send_receive, group_send
}
criterion_main!(benches);
