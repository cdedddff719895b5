//! Nodes of a cluster that stop and come back.

use std::time::Duration;

use crate::support::cluster::Cluster;
use crate::support::pair::Settings;
use crate::support::topology::Topology;
use crate::traffic::{DETECTION, IN_FLIGHT, Traffic};

/// Brokers take a moment to believe that another one is gone.
const BELIEF: Duration = Duration::from_secs(5);

/// The queues of a node go with it; others are declared on the nodes that are left.
#[tokio::test]
async fn a_node_may_be_stopped_and_come_back() {
    let mut cluster = Cluster::start();
    let name = cluster.virtual_host();
    let settings = Settings::at(cluster.urls(&name), &name);
    let traffic = Traffic::start(settings.ours(), settings.ours());
    traffic.expect_flowing().await;
    for node in 0..3 {
        cluster.nodes_mut()[node].kill();
        traffic.expect_flowing_within(DETECTION + BELIEF).await;
        cluster.nodes_mut()[node].start_again();
        cluster.expect_complete();
        traffic.expect_flowing_within(DETECTION).await;
        let topology = Topology::of(&cluster.nodes()[node], &name);
        assert!(topology.queues.contains_key("traffic"));
    }
    traffic.finish().await.expect_lost_at_most(3 * IN_FLIGHT);
}
