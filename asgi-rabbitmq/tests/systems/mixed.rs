//! Each half of a site may be ours or Python's.

use crate::support::pair::Settings;
use crate::systems::halves::{Maker, check_together};

#[tokio::test]
async fn our_daphne_and_our_worker_are_a_site() {
    check_together(Maker::Us, Maker::Us, &Settings::shared()).await;
}
