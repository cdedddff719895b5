//! New code ships while browsers stay connected.

use crate::support::pair::Settings;
use crate::support::server::RedisServer;
use crate::systems::restart::check_restarts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_restarted_under_open_sockets_and_running_requests() {
    let server = RedisServer::start();
    let settings = Settings::on([&server]).capacity(20_000);
    check_restarts(&settings, 2_000).await;
}
