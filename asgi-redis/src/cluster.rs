//! Redis Cluster, with keys of its own.
//!
//! A script may only touch keys of one slot there, which the keys of the other layers are not. So
//! this layer divides its keys into parts, each with a hash tag, and uses each part as the other
//! layers use a server: `asgi:{2.0}:http.request`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use asgiref::config::LayerSettings;
use asgiref::{Error as LayerError, Result as LayerResult};
use async_trait::async_trait;
use tokio::time::timeout;

use crate::config::{Common, common_setters};
use crate::connection::{Address, Command, ConnectionOptions, PORT, Reply, Resolver, connect};
use crate::error::{Error, Result};
use crate::layer::{RedisChannelLayer, forward_to_layer};

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// How many parts there are unless set.
const PARTS: usize = 6;

/// More parts than this would only cost connections.
const MAX_PARTS: usize = 64;

/// How long one node is waited for before the next one is asked.
const PATIENCE: Duration = Duration::from_millis(800);

/// The most nodes that are remembered.
const MAX_NODES: usize = 256;

/// A channel layer over a Redis Cluster.
///
/// Its keys are not those of Python's `asgi_redis`, which cannot use a cluster: all processes must
/// use this layer. Failover and the move of slots to other nodes are followed; while a slot
/// moves, operations on it wait, and fail if that takes longer than the connect timeout.
///
/// ```no_run
/// use asgi_redis::RedisClusterChannelLayer;
///
/// let layer = RedisClusterChannelLayer::builder()
///     .node("redis://10.0.0.1:6379")
///     .node("redis://10.0.0.2:6379")
///     .build()?;
/// # let _ = layer;
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RedisClusterChannelLayer {
    layer: RedisChannelLayer,
}

forward_to_layer!(RedisClusterChannelLayer);

/// Makes a [`RedisClusterChannelLayer`].
#[derive(Debug)]
pub struct RedisClusterChannelLayerBuilder {
    common: Common,
    nodes: Vec<Address>,
    parts: usize,
    fault: Option<LayerError>,
}

impl RedisClusterChannelLayerBuilder {
    common_setters!();

    /// Adds a node from which the others are learnt: `redis://[[user]:password@]host[:port]`, or
    /// `rediss://…` over TLS. `redis://localhost:6379` if there is none.
    #[must_use]
    pub fn node(mut self, url: impl AsRef<str>) -> Self {
        match url.as_ref().parse() {
            Ok(address) => self.nodes.push(address),
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
        self
    }

    /// Adds several nodes.
    #[must_use]
    pub fn nodes<U: AsRef<str>>(self, urls: impl IntoIterator<Item = U>) -> Self {
        urls.into_iter().fold(self, Self::node)
    }

    /// Into how many parts the keys are divided: at least as many as there are masters, or some
    /// will be idle. 6 unless set; every process must have the same number.
    #[must_use]
    pub const fn parts(mut self, parts: usize) -> Self {
        self.parts = parts;
        self
    }

    /// Makes the layer. Nothing is connected before it is needed.
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::Config`], naming the option that cannot be used.
    pub fn build(self) -> LayerResult<RedisClusterChannelLayer> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !(1..=MAX_PARTS).contains(&self.parts) {
            let reason = format!("must be from 1 to {MAX_PARTS}");
            return Err(LayerError::config("parts", reason));
        }
        if self.common.prefix.contains('{') {
            let reason = "must not contain `{`: the layer adds a hash tag of its own";
            return Err(LayerError::config("prefix", reason));
        }
        let mut nodes = self.nodes;
        if nodes.is_empty() {
            nodes.push(Address::tcp("localhost", PORT));
        }
        if nodes.iter().any(|node| node.database != 0) {
            return Err(LayerError::config("db", "a cluster has database 0 only"));
        }
        let cluster = Arc::new(Mutex::new(nodes));
        let parts = (0..self.parts).map(|part| {
            let (tag, slot) = tag(part, self.parts);
            let resolver = Part {
                nodes: Arc::clone(&cluster),
                name: format!("slot {slot}").into(),
                slot,
            };
            (
                Box::new(resolver) as Box<dyn Resolver>,
                format!("{{{tag}}}:"),
            )
        });
        let shards = self
            .common
            .build("RedisClusterChannelLayer", parts.collect())?;
        Ok(RedisClusterChannelLayer {
            layer: RedisChannelLayer::new(shards),
        })
    }
}

impl RedisClusterChannelLayer {
    /// The schemes of the URLs that mean this layer.
    pub const SCHEMES: &[&str] = &["redis+cluster"];

    /// Sets a layer up option by option.
    #[must_use]
    pub fn builder() -> RedisClusterChannelLayerBuilder {
        RedisClusterChannelLayerBuilder {
            common: Common::default(),
            nodes: Vec::new(),
            parts: PARTS,
            fault: None,
        }
    }

    /// The layer a URL describes: `redis+cluster://node1,node2:6380/?parts=12&prefix=site:`.
    ///
    /// # Errors
    ///
    /// As [`RedisClusterChannelLayerBuilder::build`].
    pub fn from_url(url: &str) -> LayerResult<Self> {
        Self::from_settings(&url.parse()?)
    }

    /// The layer that a URL or a TOML table describes.
    ///
    /// # Errors
    ///
    /// As [`from_url`](Self::from_url).
    pub fn from_settings(settings: &LayerSettings) -> LayerResult<Self> {
        settings.require_scheme(Self::SCHEMES)?;
        let mut options = settings.options().clone();
        let mut builder = RedisClusterChannelLayerBuilder {
            common: Common::take_from(&mut options)?,
            ..Self::builder()
        };
        if let Some(parts) = options.take_integer("parts")? {
            builder.parts = parts;
        }
        let tls = options.take_bool("tls")?.unwrap_or(false);
        if tls && cfg!(not(feature = "tls")) {
            let reason = "needs the feature `tls`, which this build does not have";
            return Err(options.error("tls", reason));
        }
        if !settings.hosts().is_empty() {
            builder.nodes = Address::of_location(settings, None, PORT)?;
            builder.nodes.iter_mut().for_each(|node| node.tls = tls);
        }
        if let Some(urls) = options.take_texts("hosts")? {
            builder = builder.nodes(urls);
        }
        options.finish()?;
        builder.build()
    }
}

/// A part of the keys, which are all in one slot.
#[derive(Debug)]
struct Part {
    /// Nodes that can be asked; the one that answered last comes first.
    nodes: Arc<Mutex<Vec<Address>>>,
    name: Arc<str>,
    slot: u16,
}

#[async_trait]
impl Resolver for Part {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    async fn resolve(&self, options: &ConnectionOptions) -> Result<Address> {
        let nodes = lock(&self.nodes).clone();
        let mut reason = "there are no nodes".to_owned();
        for node in nodes {
            match timeout(PATIENCE, self.ask(&node, options)).await {
                Ok(Ok(Some(address))) => {
                    self.learn(&node);
                    self.learn(&address);
                    return Ok(address);
                }
                Ok(Ok(None)) => reason = format!("no node serves it, says {node}"),
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = format!("node {node} does not answer"),
            }
        }
        Err(Error::Unknown {
            service: Arc::clone(&self.name),
            reason: reason.into(),
        })
    }
}

impl Part {
    async fn ask(&self, node: &Address, options: &ConnectionOptions) -> Result<Option<Address>> {
        let mut line = connect(node, options, &node.to_string().into()).await?;
        let reply = line.call(&Command::new("CLUSTER SLOTS")).await?;
        for range in reply.into_array().unwrap_or_default() {
            let range = range.into_array().unwrap_or_default();
            let [from, to, master, ..] = range.as_slice() else {
                continue;
            };
            let (Some(from), Some(to)) = (from.as_int(), to.as_int()) else {
                continue;
            };
            if (from..=to).contains(&i64::from(self.slot)) {
                return Ok(address(node, master));
            }
        }
        Ok(None)
    }

    /// Puts a node first that is sure to be one.
    fn learn(&self, node: &Address) {
        let mut nodes = lock(&self.nodes);
        nodes.retain(|known| known != node);
        nodes.insert(0, node.clone());
        nodes.truncate(MAX_NODES);
    }
}

/// Where a node is, as another one says.
fn address(asked: &Address, node: &Reply) -> Option<Address> {
    let Reply::Array(fields) = node else {
        return None;
    };
    let port = u16::try_from(fields.get(1)?.as_int()?).ok()?;
    match fields.first()? {
        // It does not know its own name: it is where it was asked.
        Reply::Nil => Some(asked.on_port(port)),
        Reply::Text(host) if host.is_empty() => Some(asked.on_port(port)),
        Reply::Text(host) => Some(asked.at(str::from_utf8(host).ok()?, port)),
        _ => None,
    }
}

/// The hash tag of a part, and its slot. The slots of the parts are spread evenly, so that the
/// parts are on all nodes of a cluster whose slots are.
fn tag(part: usize, parts: usize) -> (String, u16) {
    let share = |part: usize| (part * usize::from(SLOTS) / parts) as u16;
    let range = share(part)..share(part + 1);
    let mut tries = 0_u32..;
    loop {
        let tag = format!("{part}.{}", tries.next().unwrap_or(0));
        let slot = crc16(tag.as_bytes()) % SLOTS;
        if range.contains(&slot) {
            return (tag, slot);
        }
    }
}

/// CRC-16 as in XMODEM, which is how a cluster finds the slot of a key.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // From the cluster specification.
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn parts_are_spread_over_the_slots() {
        for parts in [1, 2, 6, MAX_PARTS] {
            for part in 0..parts {
                let (tag, slot) = tag(part, parts);
                assert_eq!(crc16(tag.as_bytes()) % SLOTS, slot);
                assert_eq!(usize::from(slot) * parts / usize::from(SLOTS), part);
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (url, option) in [
            ("redis+cluster://h/?parts=0", "parts"),
            ("redis+cluster://h/?prefix={a}", "prefix"),
            ("redis+cluster://h/2", "db"),
        ] {
            let error = RedisClusterChannelLayer::from_url(url).unwrap_err();
            assert!(
                error.to_string().contains(&format!("`{option}`")),
                "{error}"
            );
        }
    }
}
