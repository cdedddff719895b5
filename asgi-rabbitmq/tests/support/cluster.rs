//! Brokers that are one cluster.

use super::block_until;
use super::broker::{Broker, BrokerOptions};

/// Three nodes.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Broker>,
}

impl Cluster {
    /// Starts three brokers and makes them one cluster.
    pub fn start() -> Self {
        Self::with(&BrokerOptions::new())
    }

    pub fn with(options: &BrokerOptions) -> Self {
        // All at once, since each takes a while.
        let nodes = (0..3).map(|_| options.clone().start_without_waiting());
        let mut nodes: Vec<_> = nodes.collect();
        for node in &mut nodes {
            node.wait_or_try_again();
        }
        let cluster = Self { nodes };
        let (first, others) = cluster.nodes.split_first().expect("three nodes");
        for node in others {
            join(node, first);
        }
        cluster.expect_complete();
        cluster
    }

    pub fn nodes(&self) -> &[Broker] {
        &self.nodes
    }

    pub fn nodes_mut(&mut self) -> &mut [Broker] {
        &mut self.nodes
    }

    /// The URLs of a virtual host at all nodes.
    pub fn urls(&self, virtual_host: &str) -> Vec<String> {
        let nodes = self.nodes.iter();
        nodes.map(|node| node.url(virtual_host)).collect()
    }

    /// A new virtual host, which nobody else uses.
    pub fn virtual_host(&self) -> String {
        self.nodes[0].virtual_host()
    }

    /// Waits until all nodes see each other.
    pub fn expect_complete(&self) {
        block_until("the nodes to be a cluster", || {
            self.nodes
                .iter()
                .all(|node| running(node) == self.nodes.len())
        });
    }
}

/// How many nodes of its cluster a node sees running.
fn running(node: &Broker) -> usize {
    let count = node.evaluate("length(rabbit_mnesia:cluster_nodes(running))");
    usize::try_from(count.as_u64().expect("a number")).expect("a small one")
}

/// What `rabbitmqctl join_cluster` does.
fn join(node: &Broker, first: &Broker) {
    node.evaluate(&format!(
        "ok = rabbit:stop(),
        First = list_to_atom(\"{}\"),
        ok = case code:ensure_loaded(rabbit_db_cluster) of
            {{module, Module}} -> Module:join(First, disc);
            {{error, _}} -> rabbit_mnesia:join_cluster(First, disc)
        end,
        ok = rabbit:start()",
        first.node()
    ));
}
