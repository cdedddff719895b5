//! A channel layer whose calls are done by another process: [`RemoteLayer`] in the one, [`serve`]
//! in the other, a Unix socket with frames between them.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use asgiref::codec::Codec;
use asgiref::{
    ChannelLayer, ChannelLayerExt as _, ChannelName, ChannelPattern, ChannelStatistics, Error,
    Flush, GlobalStatistics, GroupName, Groups, Message, Result, Statistics, Value, message,
};
use async_trait::async_trait;
use tokio::sync::oneshot;

// ---- Frames

fn codec() -> Codec {
    Codec::new().limit(64 << 20)
}

fn write(stream: &mut UnixStream, frame: &Message) {
    let bytes = codec().encode(frame).expect("frames are small enough");
    let length = (bytes.len() as u32).to_le_bytes();
    // The other end is gone when a test has failed.
    let _ = stream.write_all(&[&length, &bytes[..]].concat());
}

fn read(stream: &mut UnixStream) -> Option<Message> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut bytes).ok()?;
    Some(codec().decode(bytes.into()).expect("frames are messages"))
}

fn names(channels: &[ChannelName]) -> Vec<Value> {
    channels
        .iter()
        .map(|name| Value::from(name.as_str()))
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// ---- This process

/// The layer of another process.
pub(crate) struct RemoteLayer {
    link: Arc<Link>,
    child: Mutex<Child>,
    group_expiry: Duration,
}

struct Link {
    stream: Mutex<UnixStream>,
    calls: Mutex<Calls>,
    answered: Condvar,
}

#[derive(Default)]
struct Calls {
    next: i64,
    waiting: HashMap<i64, oneshot::Sender<Message>>,
    /// Calls that were given up, until the other process knows.
    given_up: BTreeSet<i64>,
}

impl RemoteLayer {
    pub(crate) fn new(child: Child, stream: UnixStream, group_expiry: Duration) -> Self {
        let mut incoming = stream.try_clone().expect("a second handle");
        let link = Arc::new(Link {
            stream: Mutex::new(stream),
            calls: Mutex::default(),
            answered: Condvar::new(),
        });
        let answers = Arc::clone(&link);
        std::thread::spawn(move || {
            while let Some(answer) = read(&mut incoming) {
                let number = answer.int("call").expect("answers have numbers");
                let mut calls = lock(&answers.calls);
                if let Some(call) = calls.waiting.remove(&number) {
                    let _ = call.send(answer);
                }
                calls.given_up.remove(&number);
                answers.answered.notify_all();
            }
            // Nobody waits for a process that has ended.
            let mut calls = lock(&answers.calls);
            *calls = Calls::default();
            answers.answered.notify_all();
        });
        Self {
            link,
            child: Mutex::new(child),
            group_expiry,
        }
    }

    async fn call(&self, what: &str, mut frame: Message) -> Result<Message> {
        let (sender, receiver) = oneshot::channel();
        let number = {
            let mut calls = lock(&self.link.calls);
            calls.next += 1;
            let number = calls.next;
            calls.waiting.insert(number, sender);
            number
        };
        let mut pending = Pending {
            link: &self.link,
            number,
            done: false,
        };
        frame.insert("call", number);
        frame.insert("what", what);
        write(&mut lock(&self.link.stream), &frame);
        let answer = receiver.await;
        pending.done = true;
        let answer = answer.expect("the other process is there");
        match answer.get("error") {
            None => Ok(answer),
            Some(_) => Err(error_in(&answer)),
        }
    }
}

/// Gives a call up when dropped, and waits until the other process has done so: a message that is
/// sent later must not go to it.
struct Pending<'a> {
    link: &'a Link,
    number: i64,
    done: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut calls = lock(&self.link.calls);
        if calls.waiting.remove(&self.number).is_none() {
            return;
        }
        calls.given_up.insert(self.number);
        write(
            &mut lock(&self.link.stream),
            &message! { "call" => self.number, "what" => "give up" },
        );
        while calls.given_up.contains(&self.number) {
            calls = self
                .link
                .answered
                .wait(calls)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for RemoteLayer {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // As it would in life: without a word.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn error_in(answer: &Message) -> Error {
    let channel = || {
        let name = answer.text("channel").expect("said with the error");
        ChannelName::new(name.to_owned()).expect("valid there, valid here")
    };
    let number = |key| answer.int(key).expect("said with the error") as usize;
    match &answer.text("error").expect("an error is text")[..] {
        "full" => Error::ChannelFull { channel: channel() },
        "large" => Error::MessageTooLarge {
            size: number("size"),
            limit: number("limit"),
        },
        "name" => channel()
            .check_receivable()
            .expect_err("it was refused there"),
        other => Error::backend("remote", other.to_owned()),
    }
}

#[async_trait]
impl ChannelLayer for RemoteLayer {
    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        let message = codec().encode(&message)?;
        let frame = message! { "channel" => channel.as_str(), "message" => message };
        self.call("send", frame).await.map(|_| ())
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        let answer = self
            .call("receive", message! { "channels" => names(channels) })
            .await?;
        Ok(received_in(&answer))
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        let answer = self
            .call("try_receive", message! { "channels" => names(channels) })
            .await?;
        Ok(answer.get("message").map(|_| received_in(&answer)))
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        let frame = message! { "pattern" => pattern.as_str() };
        let answer = self.call("new_channel", frame).await?;
        ChannelName::new(answer.text("channel")?.to_owned())
    }

    fn as_groups(&self) -> Option<&dyn Groups> {
        Some(self)
    }

    fn as_flush(&self) -> Option<&dyn Flush> {
        Some(self)
    }

    fn as_statistics(&self) -> Option<&dyn Statistics> {
        Some(self)
    }
}

fn received_in(answer: &Message) -> (ChannelName, Message) {
    let channel = answer.text("channel").expect("said with the message");
    let bytes = answer.bytes("message").expect("a message is bytes");
    let message = codec().decode(bytes.clone()).expect("encoded there");
    let channel = ChannelName::new(channel.to_owned()).expect("valid there, valid here");
    (channel, message)
}

#[async_trait]
impl Groups for RemoteLayer {
    fn group_expiry(&self) -> Duration {
        self.group_expiry
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let frame = message! { "group" => group.as_str(), "channel" => channel.as_str() };
        self.call("group_add", frame).await.map(|_| ())
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let frame = message! { "group" => group.as_str(), "channel" => channel.as_str() };
        self.call("group_discard", frame).await.map(|_| ())
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        let frame = message! { "group" => group.as_str() };
        let answer = self.call("group_channels", frame).await?;
        Ok(channels_in(&answer).into_iter().collect())
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let message = codec().encode(&message)?;
        let frame = message! { "group" => group.as_str(), "message" => message };
        self.call("send_group", frame).await.map(|_| ())
    }
}

#[async_trait]
impl Flush for RemoteLayer {
    async fn flush(&self) -> Result<()> {
        self.call("flush", message! {}).await.map(|_| ())
    }
}

#[async_trait]
impl Statistics for RemoteLayer {
    async fn global_statistics(&self) -> Result<GlobalStatistics> {
        let answer = self.call("global_statistics", message! {}).await?;
        let mut figures = GlobalStatistics::default();
        let count = |key| answer.int(key).map(|count| count as u64);
        figures.messages_count = count("messages_count")?;
        figures.messages_count_per_second = count("messages_count_per_second")?;
        figures.messages_pending = count("messages_pending")?;
        figures.messages_max_age = Duration::from_secs_f64(answer.float("messages_max_age")?);
        figures.channel_full_count = count("channel_full_count")?;
        figures.channel_full_count_per_second = count("channel_full_count_per_second")?;
        Ok(figures)
    }

    async fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics> {
        let frame = message! { "channel" => channel.as_str() };
        let answer = self.call("channel_statistics", frame).await?;
        let mut figures = ChannelStatistics::default();
        let count = |key| answer.int(key).map(|count| count as u64);
        figures.messages_count = count("messages_count")?;
        figures.messages_count_per_second = count("messages_count_per_second")?;
        figures.messages_pending = count("messages_pending")?;
        figures.messages_max_age = Duration::from_secs_f64(answer.float("messages_max_age")?);
        figures.channel_full_count = count("channel_full_count")?;
        figures.channel_full_count_per_second = count("channel_full_count_per_second")?;
        Ok(figures)
    }
}

impl fmt::Display for RemoteLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteLayer")
    }
}

impl fmt::Debug for RemoteLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteLayer")
    }
}

// ---- The other process

/// Does what it is asked to, until the parent is gone.
pub(crate) fn serve(layer: &Arc<dyn ChannelLayer>, mut stream: UnixStream) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let answers = Arc::new(Mutex::new(stream.try_clone().expect("a second handle")));
    let mut tasks = HashMap::new();
    while let Some(frame) = read(&mut stream) {
        let number = frame.int("call").expect("calls have numbers");
        if frame.text("what").expect("said in each call") == "give up" {
            let task: Option<tokio::task::JoinHandle<()>> = tasks.remove(&number);
            if let Some(task) = task {
                task.abort();
                let ended = runtime.block_on(task);
                if ended.is_err() {
                    write(&mut lock(&answers), &message! { "call" => number });
                }
            }
            continue;
        }
        tasks.retain(|_, task| !task.is_finished());
        let (layer, answers) = (Arc::clone(layer), Arc::clone(&answers));
        let task = runtime.spawn(async move {
            let mut answer = match answer(&*layer, &frame).await {
                Ok(answer) => answer,
                Err(error) => error_answer(&error, &frame),
            };
            answer.insert("call", number);
            write(&mut lock(&answers), &answer);
        });
        tasks.insert(number, task);
    }
}

async fn answer(layer: &dyn ChannelLayer, frame: &Message) -> Result<Message> {
    let channel = || ChannelName::new(frame.text("channel")?.to_owned());
    let group = || GroupName::new(frame.text("group")?.to_owned());
    let content = || codec().decode(frame.bytes("message")?.clone());
    let groups = layer.require_groups()?;
    let statistics = layer.require_statistics()?;
    Ok(match &frame.text("what")?[..] {
        "send" => {
            layer.send(&channel()?, content()?).await?;
            message! {}
        }
        "receive" => received(layer.receive(&channels_in(frame)).await?)?,
        "try_receive" => match layer.try_receive(&channels_in(frame)).await? {
            Some(some) => received(some)?,
            None => message! {},
        },
        "new_channel" => {
            let pattern = ChannelPattern::new(frame.text("pattern")?.to_owned())?;
            message! { "channel" => layer.new_channel(&pattern).await?.as_str() }
        }
        "group_add" => {
            groups.group_add(&group()?, &channel()?).await?;
            message! {}
        }
        "group_discard" => {
            groups.group_discard(&group()?, &channel()?).await?;
            message! {}
        }
        "group_channels" => {
            let members = groups.group_channels(&group()?).await?;
            let members: Vec<_> = members.into_iter().collect();
            message! { "channels" => names(&members) }
        }
        "send_group" => {
            groups.send_group(&group()?, content()?).await?;
            message! {}
        }
        "flush" => {
            layer.require_flush()?.flush().await?;
            message! {}
        }
        "global_statistics" => Message::from(&statistics.global_statistics().await?),
        "channel_statistics" => Message::from(&statistics.channel_statistics(&channel()?).await?),
        other => panic!("nothing is called {other}"),
    })
}

fn received((channel, content): (ChannelName, Message)) -> Result<Message> {
    let bytes = codec().encode(&content)?;
    Ok(message! { "channel" => channel.as_str(), "message" => bytes })
}

fn channels_in(frame: &Message) -> Vec<ChannelName> {
    let Some(Value::List(names)) = frame.get("channels") else {
        panic!("channels are a list");
    };
    let name = |value: &Value| match value {
        Value::Text(name) => ChannelName::new(name.clone()).expect("valid there, valid here"),
        other => panic!("names are text, not {other}"),
    };
    names.iter().map(name).collect()
}

fn error_answer(error: &Error, frame: &Message) -> Message {
    match error {
        Error::ChannelFull { channel } => {
            message! { "error" => "full", "channel" => channel.as_str() }
        }
        Error::MessageTooLarge { size, limit } => {
            message! { "error" => "large", "size" => *size as i64, "limit" => *limit as i64 }
        }
        Error::InvalidName { .. } => {
            let refused = channels_in(frame)
                .into_iter()
                .find(|name| name.check_receivable().is_err())
                .expect("one was refused");
            message! { "error" => "name", "channel" => refused.as_str() }
        }
        other => message! { "error" => format!("{other:?}") },
    }
}
