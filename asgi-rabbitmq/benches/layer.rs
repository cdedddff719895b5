//! What the layer costs beside the client library itself, on a broker of its own on this machine.
//!
//! ```text
//! cargo bench -p asgi-rabbitmq
//! ```
//!
//! * pairs: messages sent and received per second, and what `lapin` reaches that publishes and
//!   consumes the same bodies, the same number of them under way: each publish is confirmed before
//!   the next, each delivery acknowledged;
//! * hop: from `send` until a waiting `receive` has the message, and from a bare publish until a
//!   bare consumer has it;
//! * group: one message to 1,000 members at one process, until the last has it, and as many times
//!   a bare hop as that is.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asgi_rabbitmq::RabbitmqChannelLayer;
use asgiref::codec::Codec;
use asgiref::{ChannelLayer as _, ChannelName, GroupName, Message, message};
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};

#[path = "../tests/support/mod.rs"]
mod support;

use support::broker::Broker;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// How many messages are under way at once.
const CONCURRENCY: usize = 800;

const MESSAGES: usize = 100_000;

const HOPS: usize = 2_000;

const MEMBERS: usize = 1_000;

/// How often each measurement of a group is repeated; the median counts.
const ROUNDS: usize = 50;

/// The text of each message, in bytes.
const SIZE: usize = 64;

fn main() -> Outcome {
    // `cargo test` runs benchmarks to see that they start; this one takes a while.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let broker = Broker::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // In turns, since a machine is not as fast at all times.
        let mut best = (0.0, 0.0);
        for _ in 0..3 {
            let ours = pairs(&broker).await?;
            let bare = bare_pairs(&broker).await?;
            println!(
                "pairs: {ours:.0} per second; lapin alone {bare:.0}; ratio {:.2}",
                ours / bare
            );
            best = (f64::max(best.0, ours), f64::max(best.1, bare));
        }
        println!(
            "pairs, best of each: {:.0} per second; lapin alone {:.0}; ratio {:.2}",
            best.0,
            best.1,
            best.0 / best.1
        );
        let bare = bare_hop(&broker).await?;
        let hop = hop(&broker).await?;
        println!(
            "hop: median {hop:?}; lapin alone {bare:?}; ratio {:.1}",
            ratio(hop, bare)
        );
        let (sent, received) = group(&broker).await?;
        println!(
            "group of {MEMBERS}: sent in {sent:?}, all received after {received:?}; {:.1} times a \
             bare hop",
            ratio(received, bare)
        );
        Ok(())
    })
}

fn layer(broker: &Broker, virtual_host: &str) -> asgiref::Result<RabbitmqChannelLayer> {
    RabbitmqChannelLayer::builder()
        .url(broker.url(virtual_host))
        .capacity(10 * MESSAGES)
        .build()
}

fn content() -> Message {
    message! { "text" => "x".repeat(SIZE) }
}

/// Senders and receivers with connections of their own.
async fn pairs(broker: &Broker) -> Outcome<f64> {
    let name = broker.virtual_host();
    let (sender, receiver) = (layer(broker, &name)?, layer(broker, &name)?);
    let channel = ChannelName::new("pairs")?;
    let each = MESSAGES / CONCURRENCY;
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONCURRENCY {
        let (layer, channel) = (sender.clone(), channel.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..each {
                layer.send(&channel, content()).await?;
            }
            Ok(Instant::now())
        }));
        let channels = channel_list("pairs")?;
        tasks.push(tokio::spawn(take(receiver.clone(), channels, each)));
    }
    for task in tasks {
        task.await??;
    }
    Ok((each * CONCURRENCY) as f64 / begin.elapsed().as_secs_f64())
}

/// A publisher and a consumer with a connection each.
struct Bare {
    publisher: Channel,
    consumer: Consumer,
    body: Arc<[u8]>,
    _connections: [Connection; 2],
}

impl Bare {
    async fn connect(broker: &Broker) -> Outcome<Self> {
        let url = broker.url(&broker.virtual_host());
        let connect = || Connection::connect(&url, ConnectionProperties::default());
        let connections = [connect().await?, connect().await?];
        let publisher = connections[0].create_channel().await?;
        let confirms = ConfirmSelectOptions::default();
        publisher.confirm_select(confirms).await?;
        let options = QueueDeclareOptions::default();
        let declared = publisher.queue_declare("bare".into(), options, FieldTable::default());
        declared.await?;
        let reader = connections[1].create_channel().await?;
        let prefetch = u16::try_from(CONCURRENCY)?;
        reader
            .basic_qos(prefetch, BasicQosOptions::default())
            .await?;
        let consumer = reader
            .basic_consume(
                "bare".into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(Self {
            publisher,
            consumer,
            body: Codec::new().encode(&content())?.to_vec().into(),
            _connections: connections,
        })
    }
}

/// Publishes, and waits for the confirmation.
async fn publish(amqp_channel: &Channel, body: &[u8]) -> Outcome {
    let properties = BasicProperties::default().with_expiration("60000".into());
    let options = BasicPublishOptions::default();
    let published = amqp_channel.basic_publish("".into(), "bare".into(), options, body, properties);
    published.await?.await?;
    Ok(())
}

/// Consumes so many messages; returns when the last came.
async fn consume(consumer: &mut Consumer, messages: usize) -> Outcome<Instant> {
    for _ in 0..messages {
        let delivery = consumer
            .next()
            .await
            .ok_or("the consumer was cancelled")??;
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(Instant::now())
}

async fn bare_pairs(broker: &Broker) -> Outcome<f64> {
    let mut bare = Bare::connect(broker).await?;
    let each = MESSAGES / CONCURRENCY;
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONCURRENCY {
        let (publisher, body) = (bare.publisher.clone(), Arc::clone(&bare.body));
        tasks.push(tokio::spawn(async move {
            for _ in 0..each {
                publish(&publisher, &body).await?;
            }
            Outcome::Ok(())
        }));
    }
    let end = consume(&mut bare.consumer, each * CONCURRENCY).await?;
    for task in tasks {
        task.await??;
    }
    Ok((each * CONCURRENCY) as f64 / (end - begin).as_secs_f64())
}

async fn hop(broker: &Broker) -> Outcome<Duration> {
    let name = broker.virtual_host();
    let (sender, receiver) = (layer(broker, &name)?, layer(broker, &name)?);
    let channel = ChannelName::new("hop")?;
    let channels = channel_list("hop")?;
    let mut hops = Vec::with_capacity(HOPS);
    for _ in 0..HOPS {
        let waiting = tokio::spawn(take(receiver.clone(), channels.clone(), 1));
        // Most of the time a receiver waits before there is anything to receive.
        tokio::time::sleep(Duration::from_micros(500)).await;
        let begin = Instant::now();
        sender.send(&channel, content()).await?;
        hops.push(waiting.await?? - begin);
    }
    Ok(median(hops))
}

async fn bare_hop(broker: &Broker) -> Outcome<Duration> {
    let mut bare = Bare::connect(broker).await?;
    let mut hops = Vec::with_capacity(HOPS);
    for _ in 0..HOPS {
        tokio::time::sleep(Duration::from_micros(500)).await;
        let begin = Instant::now();
        let (published, end) = tokio::join!(
            publish(&bare.publisher, &bare.body),
            consume(&mut bare.consumer, 1)
        );
        published?;
        hops.push(end? - begin);
    }
    Ok(median(hops))
}

async fn group(broker: &Broker) -> Outcome<(Duration, Duration)> {
    let name = broker.virtual_host();
    let (sender, receiver) = (layer(broker, &name)?, layer(broker, &name)?);
    let groups = sender.as_groups().ok_or("groups")?;
    let crowd = GroupName::new("crowd")?;
    let channels = channel_list("daphne.response.AbCdEf!")?;
    for member in 0..MEMBERS {
        let name = format!("daphne.response.AbCdEf!{member:010}");
        groups.group_add(&crowd, &ChannelName::new(name)?).await?;
    }
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let receiving = tokio::spawn(take(receiver.clone(), channels.clone(), MEMBERS));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let begin = Instant::now();
        groups.send_group(&crowd, content()).await?;
        sent.push(begin.elapsed());
        received.push(receiving.await?? - begin);
    }
    Ok((median(sent), median(received)))
}

/// Receives so many messages; returns when the last came.
async fn take(
    layer: RabbitmqChannelLayer,
    channels: Arc<[ChannelName]>,
    messages: usize,
) -> asgiref::Result<Instant> {
    for _ in 0..messages {
        layer.receive(&channels).await?;
    }
    Ok(Instant::now())
}

fn channel_list(name: &str) -> asgiref::Result<Arc<[ChannelName]>> {
    Ok(Arc::new([ChannelName::new(name.to_owned())?]))
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
