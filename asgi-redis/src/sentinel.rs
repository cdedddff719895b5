//! Servers found, and followed through failover, by Redis Sentinel.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use asgiref::config::LayerSettings;
use asgiref::{Error as LayerError, Result as LayerResult};
use async_trait::async_trait;
use bytes::BytesMut;
use tokio::time::timeout;

use crate::config::{Common, common_setters};
use crate::connection::{
    Address, Command, ConnectionOptions, Place, Reply, Resolver, SENTINEL_PORT, connect, read_reply,
};
use crate::error::{Error, Result};
use crate::layer::{RedisChannelLayer, forward_to_layer};

/// How long one Sentinel is waited for before the next one is asked.
const PATIENCE: Duration = Duration::from_millis(800);

/// A channel layer over Redis servers that Sentinels watch: each service is one server, whose
/// place is taken by a replica when it fails.
///
/// Failover is followed when the connection breaks, or when a server says that it is a replica
/// now. Keys and values are those of [`RedisChannelLayer`]; the services are its servers, in
/// alphabetical order unless they are given in another one.
///
/// ```no_run
/// use asgi_redis::RedisSentinelChannelLayer;
///
/// let layer = RedisSentinelChannelLayer::builder()
///     .sentinel("redis://10.0.0.1:26379")
///     .sentinel("redis://10.0.0.2:26379")
///     .services(["main"])
///     .build()?;
/// # let _ = layer;
/// # Ok::<(), asgiref::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RedisSentinelChannelLayer {
    layer: RedisChannelLayer,
}

forward_to_layer!(RedisSentinelChannelLayer);

/// Makes a [`RedisSentinelChannelLayer`].
#[derive(Debug)]
pub struct RedisSentinelChannelLayerBuilder {
    common: Common,
    sentinels: Vec<Address>,
    services: Vec<String>,
    /// How to introduce oneself to the servers.
    server: Address,
    fault: Option<LayerError>,
}

impl RedisSentinelChannelLayerBuilder {
    common_setters!();

    /// Adds a Sentinel: `redis://[[user]:password@]host[:port]`, where the port is 26379 unless
    /// said otherwise and user and password are the Sentinel's own; `rediss://…` over TLS.
    /// `redis://localhost:26379` if there is none.
    #[must_use]
    pub fn sentinel(mut self, url: impl AsRef<str>) -> Self {
        match sentinel(url.as_ref()) {
            Ok(address) => self.sentinels.push(address),
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
        self
    }

    /// Adds several Sentinels.
    #[must_use]
    pub fn sentinels<U: AsRef<str>>(self, urls: impl IntoIterator<Item = U>) -> Self {
        urls.into_iter().fold(self, Self::sentinel)
    }

    /// The services whose servers the layer uses, in this order, which must be the same in every
    /// process. Unless set, [`build`](Self::build) asks the Sentinels which there are and takes
    /// them in alphabetical order.
    #[must_use]
    pub fn services<S: Into<String>>(mut self, services: impl IntoIterator<Item = S>) -> Self {
        self.services = services.into_iter().map(Into::into).collect();
        self
    }

    /// The user name at the servers; none unless set.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.server.username = Some(username.into());
        self
    }

    /// The password at the servers; none unless set.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.server.password = Some(password.into());
        self
    }

    /// The number of the database at the servers; 0 unless set.
    #[must_use]
    pub const fn database(mut self, number: u32) -> Self {
        self.server.database = number;
        self
    }

    /// Whether connections to the servers are over TLS; not unless set.
    #[cfg(feature = "tls")]
    #[must_use]
    pub const fn tls(mut self, tls: bool) -> Self {
        self.server.tls = tls;
        self
    }

    /// Makes the layer. Without services this waits for a Sentinel's answer, and blocks the
    /// thread meanwhile; otherwise nothing is connected before it is needed.
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::Config`], naming the option that cannot be used.
    /// [`asgiref::Error::Backend`] if the services are not given and no Sentinel says them.
    pub fn build(self) -> LayerResult<RedisSentinelChannelLayer> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut sentinels = self.sentinels;
        if sentinels.is_empty() {
            sentinels.push(Address::tcp("localhost", SENTINEL_PORT));
        }
        let mut services = self.services;
        if services.is_empty() {
            services = discover(&sentinels)?;
        }
        for (at, service) in services.iter().enumerate() {
            if services[..at].contains(service) {
                let reason = format!("{service:?} is there twice");
                return Err(LayerError::config("services", reason));
            }
        }
        let sentinels = Arc::new(Mutex::new(sentinels));
        let servers = services.into_iter().map(|service| {
            let resolver = Service {
                sentinels: Arc::clone(&sentinels),
                name: service.into(),
                server: self.server.clone(),
            };
            (Box::new(resolver) as Box<dyn Resolver>, String::new())
        });
        let shards = self
            .common
            .build("RedisSentinelChannelLayer", servers.collect())?;
        Ok(RedisSentinelChannelLayer {
            layer: RedisChannelLayer::new(shards),
        })
    }
}

impl RedisSentinelChannelLayer {
    /// The schemes of the URLs that mean this layer.
    pub const SCHEMES: &[&str] = &["redis+sentinel"];

    /// Sets a layer up option by option.
    #[must_use]
    pub fn builder() -> RedisSentinelChannelLayerBuilder {
        RedisSentinelChannelLayerBuilder {
            common: Common::default(),
            sentinels: Vec::new(),
            services: Vec::new(),
            server: Address::tcp("", 0),
            fault: None,
        }
    }

    /// The layer a URL describes:
    /// `redis+sentinel://sentinel1,sentinel2:26380/0?services=main&prefix=site:`. User, password
    /// and database are those at the servers; the Sentinels' own are the options
    /// `sentinel_username` and `sentinel_password`.
    ///
    /// # Errors
    ///
    /// As [`RedisSentinelChannelLayerBuilder::build`].
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
        let common = Common::take_from(&mut options)?;
        let database = options.take_integer::<u32>("db")?;
        let located = Address::of_location(settings, database, SENTINEL_PORT)?;
        let mut builder = RedisSentinelChannelLayerBuilder {
            common,
            server: located[0].clone(),
            ..Self::builder()
        };
        builder.server.tls = options.take_bool("tls")?.unwrap_or(false);
        if builder.server.tls && cfg!(not(feature = "tls")) {
            let reason = "needs the feature `tls`, which this build does not have";
            return Err(options.error("tls", reason));
        }
        let username = options.take_text("sentinel_username")?;
        let password = options.take_text("sentinel_password")?;
        if !settings.hosts().is_empty() {
            let sentinels = located.into_iter().map(|sentinel| Address {
                username: username.clone(),
                password: password.clone(),
                database: 0,
                ..sentinel
            });
            builder.sentinels = sentinels.collect();
        }
        for service in options.take_texts("services")?.unwrap_or_default() {
            let names = service.split(',').map(str::trim);
            let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
            builder.services.extend(names);
        }
        if let Some(urls) = options.take_texts("hosts")? {
            builder = builder.sentinels(urls);
        }
        options.finish()?;
        builder.build()
    }
}

/// A Sentinel's own address.
fn sentinel(url: &str) -> LayerResult<Address> {
    let settings: LayerSettings = url.parse()?;
    settings.require_scheme(&["redis", "rediss"])?;
    match Address::all_of(&settings, SENTINEL_PORT)?.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(LayerError::config(
            "sentinels",
            "each entry is the URL of one Sentinel",
        )),
    }
}

/// A service, whose server the Sentinels know.
#[derive(Debug)]
struct Service {
    /// The one that answered last comes first.
    sentinels: Arc<Mutex<Vec<Address>>>,
    name: Arc<str>,
    server: Address,
}

#[async_trait]
impl Resolver for Service {
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    async fn resolve(&self, options: &ConnectionOptions) -> Result<Address> {
        let sentinels = lock(&self.sentinels).clone();
        let mut reason = "there are no Sentinels".to_owned();
        for sentinel in sentinels {
            match timeout(PATIENCE, self.ask(&sentinel, options)).await {
                Ok(Ok(Some(address))) => {
                    let mut known = lock(&self.sentinels);
                    if let Some(at) = known.iter().position(|known| *known == sentinel) {
                        known[..=at].rotate_right(1);
                    }
                    return Ok(address);
                }
                Ok(Ok(None)) => reason = format!("Sentinel {sentinel} does not know it"),
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = format!("Sentinel {sentinel} does not answer"),
            }
        }
        Err(Error::Unknown {
            service: Arc::clone(&self.name),
            reason: reason.into(),
        })
    }
}

impl Service {
    async fn ask(
        &self,
        sentinel: &Address,
        options: &ConnectionOptions,
    ) -> Result<Option<Address>> {
        let mut line = connect(sentinel, options, &sentinel.to_string().into()).await?;
        let command = Command::new("SENTINEL get-master-addr-by-name").arg(&*self.name);
        let reply = line.call(&command).await?;
        let mut parts = reply
            .into_array()
            .unwrap_or_default()
            .into_iter()
            .filter_map(Reply::into_bytes)
            .filter_map(|part| String::from_utf8(part.into()).ok());
        let (Some(host), Some(port)) = (parts.next(), parts.next()) else {
            return Ok(None);
        };
        Ok(port.parse().ok().map(|port| self.server.at(host, port)))
    }
}

/// The names of all services, in alphabetical order: Sentinels list them in an order of their
/// own.
fn discover(sentinels: &[Address]) -> Result<Vec<String>> {
    let mut reason = String::new();
    for sentinel in sentinels {
        match services_at(sentinel) {
            Ok(mut services) if !services.is_empty() => {
                services.sort_unstable();
                return Ok(services);
            }
            Ok(_) => reason = format!("Sentinel {sentinel} watches nothing"),
            Err(error) => reason = format!("Sentinel {sentinel}: {error}"),
        }
    }
    Err(Error::Unknown {
        service: "any service".into(),
        reason: reason.into(),
    })
}

fn services_at(sentinel: &Address) -> std::io::Result<Vec<String>> {
    let failed = std::io::Error::other::<String>;
    let Place::Tcp { host, port } = &sentinel.place else {
        return Err(failed("a Sentinel is reached over TCP".into()));
    };
    if sentinel.tls {
        let reason = "services are not looked up over TLS; set `services`";
        return Err(failed(reason.into()));
    }
    let mut stream = Err(failed("it has no address".into()));
    for address in (host.as_str(), *port).to_socket_addrs()? {
        stream = TcpStream::connect_timeout(&address, PATIENCE);
        if stream.is_ok() {
            break;
        }
    }
    let mut stream = stream?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut commands = Vec::new();
    if let Some(password) = &sentinel.password {
        let command = Command::new("AUTH");
        let command = match &sentinel.username {
            Some(username) => command.arg(username),
            None => command,
        };
        commands.push(command.arg(password));
    }
    commands.push(Command::new("SENTINEL MASTERS"));
    let mut reply = Reply::Nil;
    for command in commands {
        let mut bytes = BytesMut::new();
        command.write(&mut bytes);
        stream.write_all(&bytes)?;
        reply = read_one(&mut stream)?;
        if let Reply::Refusal(code, message) = reply {
            return Err(failed(format!("{code} {message}")));
        }
    }
    let name = |master: Reply| {
        let fields = master.into_array()?.into_iter();
        let fields: Vec<_> = fields.filter_map(Reply::into_bytes).collect();
        let mut pairs = fields.chunks_exact(2);
        let pair = pairs.find(|pair| pair[0] == "name")?;
        String::from_utf8(pair[1].to_vec()).ok()
    };
    let masters = reply.into_array().unwrap_or_default().into_iter();
    Ok(masters.filter_map(name).collect())
}

fn read_one(stream: &mut TcpStream) -> std::io::Result<Reply> {
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = BytesMut::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(reply) = read_reply(&mut buffer).map_err(std::io::Error::other)? {
            return Ok(reply);
        }
        let read = stream.read(&mut piece)?;
        if read == 0 || Instant::now() > deadline {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer.extend_from_slice(&piece[..read]);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
