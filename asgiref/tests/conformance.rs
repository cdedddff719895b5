//! The in-memory layer passes the conformance suite: on a paused clock with the default
//! configuration, and in real time with short expiries and little room.

use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, InMemoryChannelLayer, LayerConfig};
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

mod real_time {
    use super::*;

    struct InMemory;

    impl Harness for InMemory {
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
