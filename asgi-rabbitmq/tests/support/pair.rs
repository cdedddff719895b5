//! The same layer twice: ours and that of the Python original.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use asgi_rabbitmq::{GroupsForm, RabbitmqChannelLayer};
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json, json};

use super::broker::Broker;
pub use super::names::{channel, group, look, take};
use super::python::{Backend, Python, PythonLayer};

/// Names the folder of the Python original, `asgi_rabbitmq` 0.5.2, which is not on `PyPI`.
const ORIGINAL_VARIABLE: &str = "ASGI_RABBITMQ_ORIGINAL";

/// The Python original where its folder is known; otherwise what was written from the records of
/// it.
pub fn original() -> Backend {
    match env::var_os(ORIGINAL_VARIABLE) {
        Some(folder) => {
            Backend::in_folder("asgi_rabbitmq.RabbitmqChannelLayer", PathBuf::from(folder))
        }
        None => Backend::in_folder(
            "peer.PeerChannelLayer",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python"),
        ),
    }
}

/// How both layers are configured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Settings {
    urls: Vec<String>,
    virtual_host: String,
    expiry: u64,
    group_expiry: u64,
    capacity: usize,
    channel_capacity: Vec<(String, usize)>,
    keys: Vec<String>,
    compatible_groups: bool,
    durable_queues: bool,
    heartbeat: Option<u64>,
}

impl Settings {
    /// The defaults, in a virtual host of its own on the broker that the tests of a program share.
    pub fn shared() -> Self {
        Self::on(Broker::shared())
    }

    /// The defaults, in a virtual host of its own.
    pub fn on(broker: &Broker) -> Self {
        let virtual_host = broker.virtual_host();
        Self::at([broker.url(&virtual_host)], &virtual_host)
    }

    /// The defaults, in the virtual host that these URLs lead to.
    pub fn at(urls: impl IntoIterator<Item = String>, virtual_host: &str) -> Self {
        Self {
            urls: urls.into_iter().collect(),
            virtual_host: virtual_host.to_owned(),
            expiry: 60,
            group_expiry: 86_400,
            capacity: 100,
            channel_capacity: Vec::new(),
            keys: Vec::new(),
            compatible_groups: false,
            durable_queues: false,
            heartbeat: None,
        }
    }

    /// The same, reached over another way.
    #[must_use]
    pub fn reached_at(mut self, urls: impl IntoIterator<Item = String>) -> Self {
        self.urls = urls.into_iter().collect();
        self
    }

    /// How long messages live, in seconds.
    #[must_use]
    pub fn expiry(mut self, seconds: u64) -> Self {
        self.expiry = seconds;
        self
    }

    /// How long memberships last, in seconds.
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

    /// Groups in the form that the Python original has too.
    #[must_use]
    pub fn compatible_groups(mut self) -> Self {
        self.compatible_groups = true;
        self
    }

    /// Queues that are there again after a restart.
    #[must_use]
    pub fn durable_queues(mut self) -> Self {
        self.durable_queues = true;
        self
    }

    /// How often an idle connection is heard of, in seconds.
    #[must_use]
    pub fn heartbeat(mut self, seconds: u64) -> Self {
        self.heartbeat = Some(seconds);
        self
    }

    pub fn virtual_host(&self) -> &str {
        &self.virtual_host
    }

    /// Where the broker is.
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// A layer of ours, with connections of its own.
    pub fn ours(&self) -> RabbitmqChannelLayer {
        let groups = if self.compatible_groups {
            GroupsForm::Compatible
        } else {
            GroupsForm::Native
        };
        let mut builder = RabbitmqChannelLayer::builder()
            .urls(self.urls.iter().map(String::as_str))
            .expiry(Duration::from_secs(self.expiry))
            .group_expiry(Duration::from_secs(self.group_expiry))
            .capacity(self.capacity)
            .groups(groups)
            .durable_queues(self.durable_queues);
        if let Some(seconds) = self.heartbeat {
            builder = builder.heartbeat(Duration::from_secs(seconds));
        }
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
        self.theirs_in(SHARED.get_or_init(|| Python::start(&original())))
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
            "url": self.urls[0],
            "expiry": self.expiry,
            "group_expiry": self.group_expiry,
            "capacity": self.capacity,
            "channel_capacity": capacities,
            "symmetric_encryption_keys": self.keys,
        })
    }
}
