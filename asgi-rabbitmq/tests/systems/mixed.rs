//! Each half of a site may be ours or Python's. With Python, groups have the form it knows.

use crate::support::pair::Settings;
use crate::systems::halves::{Maker, check_both, check_together};

#[tokio::test]
async fn our_daphne_and_our_worker_are_a_site() {
    check_together(Maker::Us, Maker::Us, &Settings::shared()).await;
}

#[tokio::test]
async fn our_daphne_and_our_worker_are_a_site_with_the_compatible_form_of_groups() {
    let settings = Settings::shared().compatible_groups();
    check_together(Maker::Us, Maker::Us, &settings).await;
}

#[tokio::test]
async fn python_s_daphne_and_our_worker_are_a_site() {
    let settings = Settings::shared().compatible_groups();
    check_together(Maker::Python, Maker::Us, &settings).await;
}

#[tokio::test]
async fn our_daphne_and_python_s_worker_are_a_site() {
    let settings = Settings::shared().compatible_groups();
    check_together(Maker::Us, Maker::Python, &settings).await;
}

#[tokio::test]
async fn mixed_sites_may_be_encrypted() {
    for (daphne, worker) in [(Maker::Python, Maker::Us), (Maker::Us, Maker::Python)] {
        let settings = Settings::shared().compatible_groups();
        check_together(daphne, worker, &settings.keys(&["new", "old"])).await;
    }
}

/// As while a site moves from one to the other: everything is there twice, on one broker.
#[tokio::test]
async fn both_daphnes_and_both_workers_are_one_site() {
    check_both(&Settings::shared().compatible_groups()).await;
}
