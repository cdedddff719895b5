//! Each half of a site may be ours or Python's.

use crate::support::pair::Settings;
use crate::support::server::RedisServer;
use crate::systems::halves::{Maker, check_both, check_together};

#[tokio::test]
async fn our_daphne_and_our_worker_are_a_site() {
    let server = RedisServer::start();
    check_together(Maker::Us, Maker::Us, &Settings::on([&server])).await;
}

#[tokio::test]
async fn python_s_daphne_and_our_worker_are_a_site() {
    let server = RedisServer::start();
    check_together(Maker::Python, Maker::Us, &Settings::on([&server])).await;
}

#[tokio::test]
async fn our_daphne_and_python_s_worker_are_a_site() {
    let server = RedisServer::start();
    check_together(Maker::Us, Maker::Python, &Settings::on([&server])).await;
}

#[tokio::test]
async fn mixed_sites_may_be_encrypted_and_on_several_servers() {
    let servers = RedisServer::several(3);
    let settings = Settings::on(&servers).keys(&["new", "old"]);
    check_together(Maker::Python, Maker::Us, &settings).await;
    let settings = Settings::on(&servers).keys(&["new", "old"]);
    check_together(Maker::Us, Maker::Python, &settings).await;
}

/// As while a site moves from one to the other: everything is there twice, on one Redis.
#[tokio::test]
async fn both_daphnes_and_both_workers_are_one_site() {
    let server = RedisServer::start();
    check_both(&Settings::on([&server])).await;
}
