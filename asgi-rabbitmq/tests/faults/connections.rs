//! Connections that end, stall or cannot be made, while the broker is well.

use asgiref::{ChannelLayer as _, Error, message};

use crate::stage::Stage;
use crate::support::broker::Broker;
use crate::support::pair::{Settings, channel};
use crate::support::within;
use crate::traffic::{IN_FLIGHT, Traffic};

#[tokio::test]
async fn connections_that_the_broker_closes_are_made_again() {
    const ROUNDS: usize = 5;
    let broker = Broker::start();
    let stage = Stage::set_on(&broker);
    let traffic = stage.traffic().await;
    for _ in 0..ROUNDS {
        broker.close_connections();
        traffic.expect_flowing().await;
    }
    traffic
        .finish()
        .await
        .expect_lost_at_most(ROUNDS * IN_FLIGHT);
}

#[tokio::test]
async fn a_layer_may_be_there_before_its_broker() {
    let mut broker = Broker::start();
    let settings = Settings::on(&broker);
    broker.kill();
    let (sender, receiver) = (settings.ours(), settings.ours());
    let error = within("send", sender.send(&channel("early"), message! {})).await;
    assert!(matches!(error, Err(Error::Backend { .. })), "{error:?}");
    broker.start_again();
    let traffic = Traffic::start(sender, receiver);
    traffic.expect_flowing().await;
    traffic.finish().await.expect_lost_at_most(0);
}
