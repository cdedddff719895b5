//! Several processes that read one channel.

use crate::support::pair::Settings;
use crate::systems::readers::{check_killed_reader, check_shared_reading};

#[tokio::test]
async fn what_a_killed_reader_had_not_taken_another_gets() {
    check_killed_reader(&Settings::shared().capacity(10_000)).await;
}

#[tokio::test]
async fn readers_share_the_messages() {
    check_shared_reading(&Settings::shared().capacity(10_000)).await;
}
