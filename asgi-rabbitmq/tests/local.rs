//! The conformance suite on the layer that keeps normal channels in shared memory.

mod support;

use std::sync::Arc;
use std::time::Duration;

use asgi_rabbitmq::RabbitmqLocalChannelLayer;
use asgiref::{ChannelLayer, LayerConfig};
use tempfile::TempDir;

use support::broker::Broker;

/// Long enough for a case that declares hundreds of queues and looks into them one after another,
/// which takes the broker milliseconds each.
const EXPIRY: Duration = Duration::from_secs(5);
const CAPACITY: usize = 10;

/// Segments of shared memory take room until their folder is removed with the case.
struct Local {
    segments: TempDir,
}

impl Local {
    fn new() -> Self {
        let segments = TempDir::new().expect("a folder for segments");
        Self { segments }
    }

    fn make(&self, url: &str) -> RabbitmqLocalChannelLayer {
        let config = LayerConfig::new()
            .expiry(EXPIRY)
            .group_expiry(4 * EXPIRY)
            .capacity(CAPACITY);
        RabbitmqLocalChannelLayer::builder()
            .url(url)
            .directory(self.segments.path())
            .config(config)
            .build()
            .expect("a layer")
    }
}

/// The URL of a virtual host that nobody else uses.
fn virtual_host() -> String {
    let broker = Broker::shared();
    broker.url(&broker.virtual_host())
}

impl conformance::Harness for Local {
    type Layer = RabbitmqLocalChannelLayer;
    const EXPIRY: Duration = EXPIRY;
    const CAPACITY: Option<usize> = Some(CAPACITY);
    // For the broker, new queues are work.
    const AHEAD: usize = 2;

    async fn layer(&self) -> Self::Layer {
        self.make(&virtual_host())
    }

    async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
        let url = virtual_host();
        let client = || Arc::new(self.make(&url)) as _;
        std::iter::repeat_with(client).take(count).collect()
    }
}

conformance::suite!(
    Local::new(),
    ignore {
        group_message_expiry_drops_membership: "groups are in RabbitMQ, normal channels are not",
        busy_channels_do_not_starve_a_quiet_one: "a defect: a send met a full channel once",
        cancelled_receive_passes_its_message_on: "a defect: the receive that stayed waited over 10 s once",
    }
);
