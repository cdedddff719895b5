//! Servers that are watched by sentinels.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::block_until;
use super::port::free_port;
use super::process::{Process, program};
use super::resp::{Connection, Reply};
use super::server::{RedisOptions, RedisServer};

/// How many sentinels there are, and how many of them must agree.
const SENTINELS: usize = 3;
const QUORUM: usize = 2;

/// Three sentinels, and a master and a replica for each service.
#[derive(Debug)]
pub struct Sentinels {
    services: Vec<Service>,
    sentinels: Vec<Sentinel>,
}

#[derive(Debug)]
struct Service {
    name: String,
    servers: [RedisServer; 2],
}

#[derive(Debug)]
struct Sentinel {
    port: u16,
    _process: Process,
    /// Sentinels write down what they learn.
    _folder: TempDir,
}

impl Sentinels {
    /// Starts everything and waits until every sentinel knows all the others and all replicas.
    pub fn start(names: &[&str]) -> Self {
        let services: Vec<_> = names.iter().map(|name| Service::start(name)).collect();
        let sentinels = (0..SENTINELS).map(|_| Sentinel::start(&services)).collect();
        let group = Self {
            services,
            sentinels,
        };
        block_until("the sentinels to know each other", || group.is_complete());
        group
    }

    /// The addresses of the sentinels.
    pub fn urls(&self) -> Vec<String> {
        let ports = self.sentinels.iter().map(|sentinel| sentinel.port);
        ports
            .map(|port| format!("redis://127.0.0.1:{port}"))
            .collect()
    }

    /// Their ports.
    pub fn ports(&self) -> Vec<u16> {
        self.sentinels
            .iter()
            .map(|sentinel| sentinel.port)
            .collect()
    }

    /// The server that is the master of `service` now, as the sentinels see it.
    pub fn master(&self, service: &str) -> &RedisServer {
        let port = self.master_port(service);
        let mut servers = self.service(service).servers.iter();
        servers
            .find(|server| server.port() == port)
            .expect("one of the two")
    }

    /// Asks for another master, and waits until all sentinels name it and it takes writes. The
    /// old master goes on as a replica, and says so to whoever still writes to it.
    pub fn fail_over(&self, service: &str) {
        let old = self.master_port(service);
        let asked = self.sentinels[0].ask(&["SENTINEL", "FAILOVER", service]);
        assert_eq!(asked, Reply::Bytes(b"OK".to_vec()));
        self.expect_another_master(service, old);
    }

    /// Kills the master, and waits until all sentinels name another and it takes writes.
    pub fn kill_master(&mut self, service: &str) {
        let old = self.master_port(service);
        let mut services = self.services.iter_mut();
        let of_service = services.find(|one| one.name == service).expect("a service");
        let mut servers = of_service.servers.iter_mut();
        servers
            .find(|server| server.port() == old)
            .expect("one of the two")
            .kill();
        self.expect_another_master(service, old);
    }

    /// Kills the sentinels and leaves the servers.
    pub fn kill_sentinels(&mut self) {
        self.sentinels.clear();
    }

    fn service(&self, name: &str) -> &Service {
        let mut services = self.services.iter();
        services
            .find(|service| service.name == name)
            .expect("a service")
    }

    fn master_port(&self, service: &str) -> u16 {
        self.sentinels[0].master_of(service)
    }

    fn expect_another_master(&self, service: &str, old: u16) {
        block_until("another master", || {
            let mut named = self
                .sentinels
                .iter()
                .map(|sentinel| sentinel.master_of(service));
            named.all(|port| port != old) && role(self.master(service)) == "master"
        });
    }

    fn is_complete(&self) -> bool {
        self.sentinels.iter().all(|sentinel| {
            self.services.iter().all(|service| {
                let facts = sentinel.ask(&["SENTINEL", "MASTER", &service.name]);
                let facts = facts.texts();
                let fact = |name: &str| {
                    let at = facts.iter().position(|fact| *fact == name);
                    at.map(|at| facts[at + 1])
                };
                fact("num-other-sentinels") == Some(&(SENTINELS - 1).to_string())
                    && fact("num-slaves") == Some("1")
                    && fact("flags") == Some("master")
            })
        })
    }
}

impl Service {
    fn start(name: &str) -> Self {
        let master = RedisServer::start();
        let replica = RedisOptions::new()
            .set("replicaof", &format!("127.0.0.1 {}", master.port()))
            .start();
        block_until("the replica to follow", || {
            replica.info("master_link_status") == "up"
        });
        Self {
            name: name.to_owned(),
            servers: [master, replica],
        }
    }
}

impl Sentinel {
    fn start(services: &[Service]) -> Self {
        let folder = TempDir::new().expect("a folder for the sentinel");
        let port = free_port();
        let mut configuration = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\n",
            folder.path().display()
        );
        for Service { name, servers } in services {
            let master = servers[0].port();
            configuration += &format!(
                "sentinel monitor {name} 127.0.0.1 {master} {QUORUM}\n\
                 sentinel down-after-milliseconds {name} 1000\n\
                 sentinel failover-timeout {name} 5000\n"
            );
        }
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, configuration).expect("a file in a folder of ours");
        let mut command = Command::new(program("redis-server", "redis-server"));
        command.arg(file).arg("--sentinel");
        let process = Process::start(format!("sentinel on {port}"), &command);
        block_until("a sentinel to answer", || Connection::open(port).is_ok());
        Self {
            port,
            _process: process,
            _folder: folder,
        }
    }

    fn ask(&self, command: &[&str]) -> Reply {
        let connection = Connection::open(self.port);
        let mut connection = connection.expect("the sentinel can be reached");
        connection.call(command).expect("the sentinel answers")
    }

    fn master_of(&self, service: &str) -> u16 {
        let address = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service]);
        address.texts()[1].parse().expect("a port")
    }
}

fn role(server: &RedisServer) -> String {
    server.command(&["ROLE"]).list()[0].text().to_owned()
}
