//! The in-memory layer, the simplest complete one, passes every case: on a paused clock with its
//! default configuration, and in real time with short expiries and little room.

use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, InMemoryChannelLayer, LayerConfig};
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

struct RealTime;

impl Harness for RealTime {
    type Layer = InMemoryChannelLayer;
    const EXPIRY: Duration = Duration::from_millis(500);
    const CAPACITY: Option<usize> = Some(5);

    async fn layer(&self) -> InMemoryChannelLayer {
        let config = LayerConfig::new()
            .expiry(Self::EXPIRY)
            .group_expiry(4 * Self::EXPIRY)
            .capacity(5);
        InMemoryChannelLayer::with_config(config)
    }

    async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
        let layer = self.layer().await;
        (0..count)
            .map(|_| Arc::new(layer.clone()) as Arc<dyn ChannelLayer>)
            .collect()
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

#[test]
fn the_in_memory_layer_passes_in_real_time() {
    expect_all_passed(&conformance::run(RealTime));
}
