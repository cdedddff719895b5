//! New code ships while browsers stay connected.

use crate::support::pair::Settings;
use crate::systems::restart::check_restarts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_restarted_under_open_sockets_and_running_requests() {
    check_restarts(&Settings::shared().capacity(20_000), 1_000).await;
}
