//! A site whose broker goes away and comes back empty.

use crate::support::broker::Broker;
use crate::support::pair::Settings;
use crate::systems::outage::check_outages;

#[tokio::test]
async fn sockets_and_processes_outlive_a_restart_of_the_broker() {
    let mut broker = Broker::start();
    let settings = Settings::on(&broker).capacity(1_000);
    let restart = || {
        broker.kill();
        broker.start_again();
    };
    check_outages(&settings, restart).await;
}
