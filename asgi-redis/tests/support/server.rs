//! Redis servers.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::block_until;
use super::certificate::Certificate;
use super::folder::Folder;
use super::port::free_port;
use super::process::{Process, program, text};
use super::resp::{Connection, Reply};

/// How often another port is tried because somebody was faster.
const TRIES: usize = 5;

/// A Redis server of the test's own, in a temporary folder, which keeps nothing on disk.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Process>,
    options: RedisOptions,
    port: u16,
    tls: Option<(u16, Certificate)>,
    folder: Folder,
}

/// What a server is started with; ports, folder and log are chosen for it.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    arguments: Vec<String>,
    password: Option<String>,
    with_tls: bool,
    keeps_data: bool,
}

impl RedisOptions {
    pub fn new() -> Self {
        Self::default()
    }

    /// A line of the configuration: `maxmemory`, `2mb`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.arguments
            .extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// A password all clients must give.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.set("requirepass", password)
    }

    /// A second port, which speaks TLS.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.with_tls = true;
        self
    }

    /// What is stored survives a restart, even a crash.
    #[must_use]
    pub fn persistent(mut self) -> Self {
        self.keeps_data = true;
        self
    }

    /// Starts a server and waits until it answers.
    pub fn start(self) -> RedisServer {
        RedisServer::with(self)
    }
}

impl RedisServer {
    /// With nothing but defaults.
    pub fn start() -> Self {
        Self::with(RedisOptions::new())
    }

    /// One server that all tests of a program may use, each with a prefix of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `count` servers.
    pub fn several(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::start()).collect()
    }

    fn with(options: RedisOptions) -> Self {
        let folder = Folder::new();
        let certificate = options
            .with_tls
            .then(|| Certificate::generate(folder.path()));
        let mut server = Self {
            process: None,
            options,
            port: 0,
            tls: certificate.map(|certificate| (0, certificate)),
            folder,
        };
        for _ in 0..TRIES {
            server.port = free_port();
            if let Some((port, _)) = &mut server.tls {
                *port = free_port();
            }
            if server.launch() {
                return server;
            }
        }
        server.panic_with_log("redis-server does not start")
    }

    /// `redis://` and the address, with the password if there is one.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The URL to reach the server through something else that listens on `port`.
    pub fn url_at(&self, port: u16) -> String {
        match &self.options.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{port}/0"),
            None => format!("redis://127.0.0.1:{port}/0"),
        }
    }

    /// `rediss://` and the address.
    pub fn tls_url(&self) -> String {
        let (port, _) = self.tls.as_ref().expect("a server with TLS");
        format!("rediss://127.0.0.1:{port}/0")
    }

    pub fn certificate(&self) -> &Certificate {
        &self.tls.as_ref().expect("a server with TLS").1
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket on which the server listens too.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Asks the server something, over a connection that serves for this alone.
    ///
    /// # Panics
    ///
    /// If the server cannot be reached or answers with an error.
    #[track_caller]
    pub fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Reply {
        match self.connect().call(arguments).expect("the server answers") {
            Reply::Error(error) => {
                let command = String::from_utf8_lossy(arguments[0].as_ref()).into_owned();
                panic!("{command}: {error}")
            }
            reply => reply,
        }
    }

    /// A connection of the test's own, past all proxies.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        let mut connection = Connection::open(self.port).expect("the server can be reached");
        if let Some(password) = &self.options.password {
            let reply = connection.call(&["AUTH", password]);
            assert_eq!(
                reply.expect("the server answers"),
                Reply::Bytes(b"OK".to_vec())
            );
        }
        connection
    }

    /// A field of `INFO`.
    pub fn info(&self, field: &str) -> String {
        let info = self.command(&["INFO", "everything"]);
        let line = info.text().lines().find_map(|line| {
            line.strip_prefix(field)?
                .strip_prefix(':')
                .map(str::to_owned)
        });
        line.unwrap_or_else(|| panic!("INFO has no {field}"))
    }

    /// How often a command was executed, by clients and by scripts.
    pub fn calls(&self, command: &str) -> u64 {
        let statistics = self.command(&["INFO", "commandstats"]);
        let line = statistics
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| {
            let (calls, _) = line.split_once(',').expect("several figures");
            calls.parse().expect("a number")
        })
    }

    /// The keys that match `pattern`, in order.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let reply = self.command(&["KEYS", pattern]);
        let mut keys: Vec<_> = reply.texts().into_iter().map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    }

    /// Ends the server as a crash would. Its memory is lost.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts a server on the same ports after [`kill`](Self::kill) and waits until it answers.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it is running");
        if !self.launch() {
            self.panic_with_log("redis-server does not start again")
        }
    }

    /// As [`start_again`](Self::start_again), but returns at once.
    pub fn start_again_without_waiting(&mut self) {
        assert!(self.process.is_none(), "it is running");
        self.process = Some(self.spawn());
    }

    /// Waits until the server answers.
    pub fn wait(&self) {
        block_until("redis-server to answer", || self.answers());
    }

    /// Adds a line to the configuration, for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.options = std::mem::take(&mut self.options).set(name, value);
    }

    /// [`kill`](Self::kill) and [`start_again`](Self::start_again).
    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Stops the server where it is; connections stay open and nobody answers.
    pub fn pause(&self) {
        self.running().pause();
    }

    /// Ends [`pause`](Self::pause).
    pub fn resume(&self) {
        self.running().resume();
    }

    /// Ends all connections but those that replicate.
    pub fn kill_clients(&self) {
        self.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server is running")
    }

    /// Whether the server started, rather than ended at once because its port was taken.
    fn launch(&mut self) -> bool {
        let mut process = self.spawn();
        let mut answers = false;
        block_until("redis-server to answer", || {
            answers = self.answers();
            answers || !process.is_running()
        });
        self.process = Some(process);
        answers
    }

    fn spawn(&self) -> Process {
        Process::start(format!("redis on {}", self.port), &self.invocation())
    }

    fn answers(&self) -> bool {
        let Ok(mut connection) = Connection::open(self.port) else {
            return false;
        };
        match connection.call(&["PING"]) {
            Ok(Reply::Bytes(_)) => true,
            // It asks for a password, so it is there.
            Ok(Reply::Error(error)) => error.starts_with("NOAUTH"),
            _ => false,
        }
    }

    fn invocation(&self) -> Command {
        let mut command = Command::new(program("redis-server", "redis-server"));
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.arg("--dir").arg(self.folder.path());
        command.arg("--unixsocket").arg(self.socket());
        let appends = if self.options.keeps_data { "yes" } else { "no" };
        command.args([
            "--save",
            "",
            "--appendonly",
            appends,
            "--appendfsync",
            "always",
        ]);
        if let Some((port, certificate)) = &self.tls {
            command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
            command.args(["--tls-cert-file", text(&certificate.certificate)]);
            command.args(["--tls-key-file", text(&certificate.key)]);
            command.args(["--tls-ca-cert-file", text(&certificate.authority)]);
        }
        // Replicas are told the whole at once, rather than after five seconds.
        command.args(["--repl-diskless-sync-delay", "0"]);
        command.args(&self.options.arguments);
        command
    }

    fn panic_with_log(&self, what: &str) -> ! {
        let log = self.process.as_ref().map(Process::log);
        panic!("{what}:\n{}", log.unwrap_or_default())
    }
}
