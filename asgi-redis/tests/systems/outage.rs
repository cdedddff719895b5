//! A site whose Redis goes away and comes back empty.

use crate::support::pair::Settings;
use crate::support::server::RedisServer;
use crate::systems::outage::check_outages;

#[tokio::test]
async fn sockets_and_processes_outlive_a_restart_of_redis() {
    let mut server = RedisServer::start();
    let settings = Settings::on([&server]).capacity(1_000);
    check_outages(&settings, || server.restart()).await;
}
