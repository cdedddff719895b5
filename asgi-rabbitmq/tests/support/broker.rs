//! RabbitMQ brokers.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs};

use serde_json::Value as Json;

use super::block_until_limit;
use super::certificate::Certificate;
use super::control::{COOKIE, Control, PACKAGE};
use super::folder::Folder;
use super::port::free_port;
use super::process::{Process, text};

/// Where Debian's package has its programs.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// Says where other programs are: the `sbin` folder of another version of RabbitMQ, for which a
/// fitting `erl` must come first in the search path.
const PROGRAMS_VARIABLE: &str = "ASGI_RABBITMQ_TEST_SBIN";

/// Says which file's lines are added to the configuration of every broker.
const CONFIGURATION_VARIABLE: &str = "ASGI_RABBITMQ_TEST_CONFIGURATION";

/// How long a broker may take to start; a quiet machine needs a thirtieth of it.
const START: Duration = Duration::from_secs(120);

/// How often other ports are tried because somebody was faster.
const TRIES: usize = 5;

/// A broker of the test's own, in a temporary folder.
#[derive(Debug)]
pub struct Broker {
    process: Option<Process>,
    node: String,
    port: u16,
    distribution_port: u16,
    tls: Option<(u16, Certificate)>,
    configuration: String,
    folder: Folder,
}

/// What a broker is started with; ports, folder and log are chosen for it.
#[derive(Clone, Debug, Default)]
pub struct BrokerOptions {
    lines: Vec<String>,
    with_tls: bool,
}

impl BrokerOptions {
    pub fn new() -> Self {
        Self::default()
    }

    /// A line of the configuration: `heartbeat`, `10`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name} = {value}"));
        self
    }

    /// A second port, which speaks TLS.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.with_tls = true;
        self
    }

    /// Starts a broker and waits until it answers.
    pub fn start(self) -> Broker {
        let mut broker = self.start_without_waiting();
        broker.wait_or_try_again();
        broker
    }

    /// Starts a broker, which needs [`Broker::wait_or_try_again`] before it is used.
    pub fn start_without_waiting(self) -> Broker {
        Broker::launch(&self)
    }
}

impl Broker {
    /// With nothing but defaults.
    pub fn start() -> Self {
        BrokerOptions::new().start()
    }

    /// One broker that all tests of a program may use, each with a virtual host of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn launch(options: &BrokerOptions) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder = Folder::new();
        let certificate = options
            .with_tls
            .then(|| Certificate::generate(folder.path()));
        let mut broker = Self {
            process: None,
            node: format!("broker{number}@localhost"),
            port: 0,
            distribution_port: 0,
            tls: certificate.map(|certificate| (0, certificate)),
            configuration: options.lines.join("\n"),
            folder,
        };
        broker.prepare_folder();
        broker.choose_ports();
        broker.process = Some(broker.spawn());
        broker
    }

    /// Waits until the broker answers; if it ended because a port was taken, on other ports.
    pub fn wait_or_try_again(&mut self) {
        for _ in 0..TRIES {
            let mut process = self.process.take().expect("it was started");
            let mut answers = false;
            block_until_limit(START, "the broker to answer", || {
                answers = self.answers();
                answers || !process.is_running()
            });
            if answers {
                self.process = Some(process);
                return;
            }
            self.choose_ports();
            self.process = Some(self.spawn());
        }
        let log = self.process.as_ref().map(Process::log);
        panic!("the broker does not start:\n{}", log.unwrap_or_default())
    }

    /// The name by which other nodes of Erlang know the broker.
    pub fn node(&self) -> &str {
        &self.node
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `amqps://` and the address, with the virtual host that is there from the beginning.
    pub fn tls_url(&self) -> String {
        format!("amqps://guest:guest@127.0.0.1:{}/%2f", self.tls_port())
    }

    pub fn tls_port(&self) -> u16 {
        self.tls.as_ref().expect("a broker with TLS").0
    }

    pub fn certificate(&self) -> &Certificate {
        &self.tls.as_ref().expect("a broker with TLS").1
    }

    /// The URL of a virtual host.
    pub fn url(&self, virtual_host: &str) -> String {
        url_at(self.port, virtual_host)
    }

    /// A new virtual host, which nobody else uses.
    pub fn virtual_host(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test-{}", COUNT.fetch_add(1, Ordering::SeqCst));
        self.add_virtual_host(&name);
        name
    }

    /// A new virtual host of this name, for the user `guest`.
    pub fn add_virtual_host(&self, name: &str) {
        self.evaluate(&format!(
            r#"Name = <<"{name}"/utf8>>,
            All = <<".*">>,
            ok = rabbit_vhost:add(Name, <<"tests">>),
            ok = rabbit_auth_backend_internal:set_permissions(
                <<"guest">>, Name, All, All, All, <<"tests">>)"#
        ));
    }

    /// The value of a sequence of Erlang expressions on the broker.
    #[track_caller]
    pub fn evaluate(&self, expressions: &str) -> Json {
        let value = Control::shared().evaluate(&self.node, expressions);
        value.unwrap_or_else(|error| panic!("{expressions}: {error}"))
    }

    /// Ends the broker as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts a broker on the same ports after [`kill`](Self::kill), with what is durable still
    /// there, and waits until it answers.
    pub fn start_again(&mut self) {
        self.start_again_without_waiting();
        self.wait();
    }

    /// As [`start_again`](Self::start_again), but returns at once.
    pub fn start_again_without_waiting(&mut self) {
        assert!(self.process.is_none(), "it is running");
        self.process = Some(self.spawn());
    }

    /// Waits until the broker answers.
    pub fn wait(&self) {
        block_until_limit(START, "the broker to answer", || self.answers());
    }

    /// Stops the broker where it is; connections stay open and nobody answers.
    pub fn pause(&self) {
        self.running().pause();
    }

    /// Ends [`pause`](Self::pause).
    pub fn resume(&self) {
        self.running().resume();
    }

    /// Ends all connections of clients, as an operator may.
    pub fn close_connections(&self) {
        self.evaluate(
            r#"[rabbit_networking:close_connection(Pid, "closed by the test")
                || Pid <- rabbit_networking:connections()], ok"#,
        );
    }

    /// Has the broker believe that it has used up its memory, or that it has not.
    pub fn raise_memory_alarm(&self, raised: bool) {
        let share = if raised { "0.000001" } else { "0.8" };
        self.evaluate(&format!(
            "ok = vm_memory_monitor:set_vm_memory_high_watermark({share})"
        ));
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the broker is running")
    }

    fn choose_ports(&mut self) {
        self.port = free_port();
        self.distribution_port = free_port();
        if let Some((port, _)) = &mut self.tls {
            *port = free_port();
        }
        let path = self.folder.path().join("rabbitmq.conf");
        fs::write(path, self.configuration_file()).expect("the folder can be written to");
    }

    fn prepare_folder(&self) {
        let folder = self.folder.path();
        fs::write(folder.join("plugins"), "[].\n").expect("the folder can be written to");
        let cookie = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(folder.join(".erlang.cookie"));
        let written = cookie.and_then(|mut file| file.write_all(COOKIE.as_bytes()));
        written.expect("the folder can be written to");
    }

    fn configuration_file(&self) -> String {
        let mut lines = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             loopback_users = none\n\
             vm_memory_high_watermark.relative = 0.8\n\
             disk_free_limit.absolute = 50MB\n\
             log.file = false\n\
             log.console = true\n\
             log.console.level = warning\n",
            self.port
        );
        if let Some((port, certificate)) = &self.tls {
            let path = |path: &Path| text(path).to_owned();
            let _ = write!(
                lines,
                "listeners.ssl.1 = 127.0.0.1:{port}\n\
                 ssl_options.cacertfile = {}\n\
                 ssl_options.certfile = {}\n\
                 ssl_options.keyfile = {}\n\
                 ssl_options.verify = verify_none\n\
                 ssl_options.fail_if_no_peer_cert = false\n",
                path(&certificate.authority),
                path(&certificate.certificate),
                path(&certificate.key)
            );
        }
        lines += &self.configuration;
        lines += "\n";
        if let Some(file) = env::var_os(CONFIGURATION_VARIABLE) {
            let more = fs::read_to_string(&file);
            lines += &more.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        lines
    }

    fn spawn(&self) -> Process {
        Process::start(self.node.clone(), &self.invocation())
    }

    /// Whether somebody speaks AMQP on the port, and listens on the other if there is one.
    fn answers(&self) -> bool {
        if let Some((port, _)) = self.tls
            && TcpStream::connect(("127.0.0.1", port)).is_err()
        {
            return false;
        }
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let limit = Some(Duration::from_secs(1));
        let asked = stream.set_read_timeout(limit);
        let asked = asked.and_then(|()| stream.write_all(b"AMQP\x00\x00\x09\x01"));
        asked.and_then(|()| stream.read_exact(&mut [0; 8])).is_ok()
    }

    fn invocation(&self) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(server_program());
        // The script becomes the server, rather than staying its parent.
        command.env("detached", "1");
        command.env("HOME", folder);
        let mapper = Control::shared().mapper_port();
        for (name, value) in [
            ("ERL_EPMD_PORT", mapper.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", self.node.clone()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", self.port.to_string()),
            ("RABBITMQ_DIST_PORT", self.distribution_port.to_string()),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
        ] {
            command.env(name, value);
        }
        for (name, file) in [
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_PID_FILE", "pid"),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
        ] {
            command.env(name, folder.join(file));
        }
        command.env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        // The server takes any value for yes, and then wants somebody to type.
        command.env_remove("RABBITMQ_ALLOW_INPUT");
        command
    }
}

/// The URL of a virtual host, through whatever listens on `port`.
pub fn url_at(port: u16, virtual_host: &str) -> String {
    let name: String = virtual_host
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect();
    format!("amqp://guest:guest@127.0.0.1:{port}/{name}")
}

fn server_program() -> PathBuf {
    let folder =
        env::var_os(PROGRAMS_VARIABLE).map_or_else(|| PathBuf::from(PROGRAMS), PathBuf::from);
    let path = folder.join("rabbitmq-server");
    assert!(
        path.is_file(),
        "{} is not there; run: apt-get install -y {PACKAGE}",
        path.display()
    );
    path
}
