//! The in-memory layer passes the conformance suite: on a paused clock with the default
//! configuration.

use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, InMemoryChannelLayer};
use conformance::Harness;

mod virtual_time {
    use super::*;

    struct InMemory;

    impl Harness for InMemory {
        type Layer = InMemoryChannelLayer;
        const EXPIRY: Duration = Duration::from_secs(60);
        const CAPACITY: Option<usize> = Some(100);
        const VIRTUAL_TIME: bool = true;

        async fn layer(&self) -> InMemoryChannelLayer {
            InMemoryChannelLayer::new()
        }

        async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
            handles(&self.layer().await, count)
        }
    }

    conformance::suite!(InMemory);
}

fn handles(layer: &InMemoryChannelLayer, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
    (0..count)
        .map(|_| Arc::new(layer.clone()) as Arc<dyn ChannelLayer>)
        .collect()
}
