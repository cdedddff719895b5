//! Masters that change, with Sentinel.

use asgi_redis::RedisSentinelChannelLayer;
use asgiref::{ChannelLayer as _, message};

use crate::support::pair::{channel, take};
use crate::support::sentinel::Sentinels;
use crate::support::within;
use crate::traffic::{DETECTION, IN_FLIGHT, Traffic};

fn layer(sentinels: &Sentinels, services: &[&str]) -> RedisSentinelChannelLayer {
    let mut builder = RedisSentinelChannelLayer::builder();
    for url in sentinels.urls() {
        builder = builder.sentinel(&url);
    }
    if !services.is_empty() {
        builder = builder.services(services.iter().copied());
    }
    builder.build().expect("the settings are valid")
}

/// The old master is alive, and says `READONLY` to whoever still writes to it.
#[tokio::test]
async fn a_failover_by_hand_is_followed() {
    let sentinels = Sentinels::start(&["alpha"]);
    let traffic = Traffic::start(layer(&sentinels, &[]), layer(&sentinels, &["alpha"]));
    traffic.expect_flowing().await;
    let sentinels = tokio::task::spawn_blocking(move || {
        sentinels.fail_over("alpha");
        sentinels
    });
    let _sentinels = within("the failover", sentinels).await.expect("no panic");
    traffic.expect_flowing_within(DETECTION).await;
    // What was not yet replicated is lost too, and the old master may have taken writes until
    // it was told.
    traffic.finish().await.expect_lost_at_most(10 * IN_FLIGHT);
}

#[tokio::test]
async fn a_new_master_after_a_crash_is_followed() {
    let mut sentinels = Sentinels::start(&["alpha"]);
    let traffic = Traffic::start(layer(&sentinels, &["alpha"]), layer(&sentinels, &[]));
    traffic.expect_flowing().await;
    let sentinels = tokio::task::spawn_blocking(move || {
        sentinels.kill_master("alpha");
        sentinels
    });
    let _sentinels = within("the failover", sentinels).await.expect("no panic");
    traffic.expect_flowing_within(DETECTION).await;
    traffic.finish().await.expect_lost_at_most(IN_FLIGHT);
}

/// The sentinels list their services in no particular order, so only sorting makes all
/// processes agree.
#[tokio::test]
async fn discovered_services_are_a_ring_in_the_order_of_their_names() {
    let sentinels = Sentinels::start(&["gamma", "alpha", "beta"]);
    let discovered = layer(&sentinels, &[]);
    let told = layer(&sentinels, &["alpha", "beta", "gamma"]);
    for number in 0..20 {
        let name = format!("single?{number}");
        let message = message! { "number" => number };
        discovered
            .send(&channel(&name), message.clone())
            .await
            .expect("there is room");
        assert_eq!(take(&told, &name).await, (name.clone(), message.clone()));
        told.send(&channel(&name), message.clone())
            .await
            .expect("there is room");
        assert_eq!(take(&discovered, &name).await, (name, message));
    }
}

/// They are asked where the masters are, and for nothing else.
#[tokio::test]
async fn the_sentinels_may_be_away() {
    let mut sentinels = Sentinels::start(&["alpha"]);
    let traffic = Traffic::start(layer(&sentinels, &[]), layer(&sentinels, &["alpha"]));
    traffic.expect_flowing().await;
    sentinels.kill_sentinels();
    for _ in 0..5 {
        traffic.expect_flowing().await;
    }
    let record = traffic.finish().await;
    record.expect_no_errors();
    record.expect_lost_at_most(0);
}
