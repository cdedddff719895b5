//! Redis Cluster.

use std::process::Command;

use super::block_until;
use super::port::free_port;
use super::process::{program, succeed};
use super::server::{RedisOptions, RedisServer};

/// How many slots a cluster has, fixed by Redis.
const SLOTS: usize = 16_384;

/// A cluster of masters without replicas, which share the slots evenly.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Starts three nodes and waits until they are one cluster.
    pub fn start() -> Self {
        let node = |_| {
            RedisOptions::new()
                .set("cluster-enabled", "yes")
                .set("cluster-port", &free_port().to_string())
                .set("cluster-node-timeout", "2000")
                .start()
        };
        let cluster = Self {
            nodes: (0..3).map(node).collect(),
        };
        cluster.assign_slots();
        cluster.introduce();
        cluster.expect_complete();
        cluster
    }

    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    pub fn nodes_mut(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Moves all slots of one node to another, with what is in them.
    pub fn move_slots(&self, from: usize, to: usize) {
        let id = |node: usize| self.nodes[node].command(&["CLUSTER", "MYID"]);
        let mut command = Command::new(program("redis-cli", "redis-tools"));
        command.args(["--cluster", "reshard"]);
        command.arg(format!("127.0.0.1:{}", self.nodes[from].port()));
        command.args(["--cluster-from", id(from).text()]);
        command.args(["--cluster-to", id(to).text()]);
        command.args(["--cluster-slots", &SLOTS.to_string(), "--cluster-yes"]);
        succeed(&mut command);
        self.expect_complete();
    }

    /// Waits until all nodes agree that all slots are served.
    pub fn expect_complete(&self) {
        block_until("the nodes to be a cluster", || self.is_complete());
    }

    fn assign_slots(&self) {
        let count = self.nodes.len();
        for (index, node) in self.nodes.iter().enumerate() {
            let first = (SLOTS * index / count).to_string();
            let last = (SLOTS * (index + 1) / count - 1).to_string();
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
    }

    fn introduce(&self) {
        let (first, others) = self.nodes.split_first().expect("nodes");
        for node in others {
            let bus = node.command(&["CONFIG", "GET", "cluster-port"]);
            let port = node.port().to_string();
            first.command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus.texts()[1]]);
        }
    }

    pub fn is_complete(&self) -> bool {
        self.nodes.iter().all(|node| {
            let info = node.command(&["CLUSTER", "INFO"]);
            let knows = |line: &str| info.text().lines().any(|known| known == line);
            knows("cluster_state:ok")
                && knows(&format!("cluster_slots_ok:{SLOTS}"))
                && knows(&format!("cluster_known_nodes:{}", self.nodes.len()))
        })
    }
}
