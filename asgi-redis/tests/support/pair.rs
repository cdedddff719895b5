//! The same layer twice: ours and that of the Python original.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asgi_redis::RedisChannelLayer;
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json, json};

pub use super::names::{channel, group, look, take};
use super::python::{Backend, Python, PythonLayer};
use super::server::RedisServer;

/// The Python original.
pub const ORIGINAL: Backend = Backend::installed("asgi_redis.RedisChannelLayer");

/// How both layers are configured. Each has prefixes of its own, so tests can share servers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Settings {
    hosts: Vec<String>,
    prefix: String,
    stats_prefix: String,
    expiry: u64,
    group_expiry: u64,
    capacity: usize,
    channel_capacity: Vec<(String, usize)>,
    keys: Vec<String>,
}

impl Settings {
    /// The defaults, on the server that the tests of a program share.
    pub fn shared() -> Self {
        Self::on([RedisServer::shared()])
    }

    /// The defaults, on servers of the test's own.
    pub fn on<'a>(servers: impl IntoIterator<Item = &'a RedisServer>) -> Self {
        Self::at(servers.into_iter().map(RedisServer::url))
    }

    /// The defaults, on whatever these URLs lead to.
    pub fn at(urls: impl IntoIterator<Item = String>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        Self {
            hosts: urls.into_iter().collect(),
            prefix: format!("asgi-{number}:"),
            stats_prefix: format!("asgi-meta-{number}:"),
            expiry: 60,
            group_expiry: 86_400,
            capacity: 100,
            channel_capacity: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// The same, reached over another way.
    #[must_use]
    pub fn reached_at(mut self, urls: impl IntoIterator<Item = String>) -> Self {
        self.hosts = urls.into_iter().collect();
        self
    }

    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    #[must_use]
    pub fn stats_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.stats_prefix);
        self
    }

    /// In seconds.
    #[must_use]
    pub fn expiry(mut self, seconds: u64) -> Self {
        self.expiry = seconds;
        self
    }

    /// In seconds.
    #[must_use]
    pub fn group_expiry(mut self, seconds: u64) -> Self {
        self.group_expiry = seconds;
        self
    }

    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    #[must_use]
    pub fn channel_capacity(mut self, pattern: &str, capacity: usize) -> Self {
        self.channel_capacity.push((pattern.to_owned(), capacity));
        self
    }

    /// The keys of the encryption, the one that encrypts first.
    #[must_use]
    pub fn keys(mut self, keys: &[&str]) -> Self {
        self.keys = keys.iter().copied().map(str::to_owned).collect();
        self
    }

    /// The key under which the server keeps `name`.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The key under which the server keeps a group.
    pub fn group_key(&self, name: &str) -> String {
        format!("{}:group:{name}", self.prefix)
    }

    /// A layer of ours, with connections of its own.
    pub fn ours(&self) -> RedisChannelLayer {
        let mut builder = RedisChannelLayer::builder()
            .hosts(self.hosts.iter().map(String::as_str))
            .prefix(&self.prefix)
            .stats_prefix(&self.stats_prefix)
            .expiry(Duration::from_secs(self.expiry))
            .group_expiry(Duration::from_secs(self.group_expiry))
            .capacity(self.capacity);
        for (pattern, capacity) in &self.channel_capacity {
            builder = builder.channel_capacity(pattern, *capacity);
        }
        if !self.keys.is_empty() {
            builder = builder.symmetric_encryption_keys(self.keys.iter().map(String::as_str));
        }
        builder.build().expect("the settings are valid")
    }

    /// A layer of the Python original, in an interpreter that all tests share.
    pub fn theirs(&self) -> PythonLayer<'static> {
        static SHARED: OnceLock<Python> = OnceLock::new();
        self.theirs_in(SHARED.get_or_init(|| Python::start(&ORIGINAL)))
    }

    /// A layer of the Python original, in an interpreter of the test's own.
    pub fn theirs_in<'a>(&self, python: &'a Python) -> PythonLayer<'a> {
        python.layer(&self.for_python())
    }

    /// The arguments of the Python original's constructor.
    pub fn for_python(&self) -> Json {
        let capacities: JsonMap<_, _> = self
            .channel_capacity
            .iter()
            .map(|(pattern, capacity)| (pattern.clone(), json!(capacity)))
            .collect();
        json!({
            "hosts": self.hosts,
            "prefix": self.prefix,
            "stats_prefix": self.stats_prefix,
            "expiry": self.expiry,
            "group_expiry": self.group_expiry,
            "capacity": self.capacity,
            "channel_capacity": capacities,
            "symmetric_encryption_keys": self.keys,
        })
    }
}
