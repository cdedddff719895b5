//! The in-memory layer, the simplest complete one, passes every case on a paused clock with its
//! default configuration.

use std::time::Duration;

use asgiref::InMemoryChannelLayer;
use conformance::{Harness, Report};

struct VirtualTime;

impl Harness for VirtualTime {
    type Layer = InMemoryChannelLayer;
    const EXPIRY: Duration = Duration::from_secs(60);
    const CAPACITY: Option<usize> = Some(100);
    const VIRTUAL_TIME: bool = true;

    async fn layer(&self) -> InMemoryChannelLayer {
        InMemoryChannelLayer::new()
    }
}

fn expect_all_passed(report: &Report) {
    let names: Vec<_> = report.cases.iter().map(|case| case.name).collect();
    assert_eq!(
        names,
        conformance::case_names(),
        "every case is reported once, in order"
    );
    assert!(
        report.cases.iter().all(conformance::CaseReport::passed),
        "{report}"
    );
}

#[test]
fn the_in_memory_layer_passes_in_virtual_time() {
    expect_all_passed(&conformance::run(VirtualTime));
}
