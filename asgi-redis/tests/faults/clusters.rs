//! Nodes of a Redis Cluster that restart, and slots that move.

use asgi_redis::RedisClusterChannelLayer;

use crate::support::cluster::Cluster;
use crate::support::{until, within};
use crate::traffic::{DETECTION, IN_FLIGHT, Traffic};

fn layer(cluster: &Cluster) -> RedisClusterChannelLayer {
    let builder = RedisClusterChannelLayer::builder().nodes(cluster.urls());
    builder.build().expect("the settings are valid")
}

#[tokio::test]
async fn a_node_may_be_restarted() {
    let mut cluster = Cluster::start();
    let traffic = Traffic::start(layer(&cluster), layer(&cluster));
    traffic.expect_flowing().await;
    for node in 0..3 {
        cluster.nodes_mut()[node].kill();
        traffic.expect_failing().await;
        cluster.nodes_mut()[node].start_again();
        until("the cluster to be whole", || cluster.is_complete()).await;
        traffic.expect_flowing_within(DETECTION).await;
    }
    traffic.finish().await.expect_lost_at_most(3 * IN_FLIGHT);
}

/// Nothing is wrong meanwhile, so nothing is lost.
#[tokio::test]
async fn slots_may_move_to_another_node() {
    let cluster = Cluster::start();
    let traffic = Traffic::start(layer(&cluster), layer(&cluster));
    traffic.expect_flowing().await;
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.move_slots(0, 1);
        cluster
    });
    let _cluster = within("the slots to move", cluster)
        .await
        .expect("no panic");
    traffic.expect_flowing_within(DETECTION).await;
    traffic.finish().await.expect_lost_at_most(0);
}
