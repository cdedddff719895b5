//! Several processes that read one channel.

use crate::support::pair::Settings;
use crate::support::server::RedisServer;
use crate::systems::readers::{check_killed_reader, check_shared_reading};

#[tokio::test]
async fn what_a_killed_reader_had_not_taken_another_gets() {
    let server = RedisServer::start();
    check_killed_reader(&Settings::on([&server]).capacity(10_000)).await;
}

#[tokio::test]
async fn readers_share_the_messages() {
    let server = RedisServer::start();
    check_shared_reading(&Settings::on([&server]).capacity(10_000)).await;
}
