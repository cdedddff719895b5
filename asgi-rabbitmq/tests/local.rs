//! The conformance suite on the layer that keeps normal channels in shared memory.

mod support;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asgi_rabbitmq::RabbitmqLocalChannelLayer;
use asgiref::{ChannelLayer, LayerConfig};
use tempfile::TempDir;

use support::broker::Broker;

/// Long enough for a case that looks into hundreds of queues one after another, which takes the
/// broker milliseconds each.
const EXPIRY: Duration = Duration::from_secs(5);
const CAPACITY: usize = 10;

/// Segments of shared memory take room until their folders are removed with the case.
#[derive(Default)]
struct Local {
    folders: Mutex<Vec<TempDir>>,
}

/// What clients of one site have in common, which no other site has.
struct Place {
    url: String,
    segments: PathBuf,
}

impl Local {
    fn place(&self) -> Place {
        let broker = Broker::shared();
        let folder = TempDir::new().expect("a folder for a segment");
        let segments = folder.path().to_owned();
        let mut folders = self.folders.lock().expect("nobody panicked");
        folders.push(folder);
        Place {
            url: broker.url(&broker.virtual_host()),
            segments,
        }
    }
}

impl Place {
    fn make(&self) -> RabbitmqLocalChannelLayer {
        let config = LayerConfig::new()
            .expiry(EXPIRY)
            .group_expiry(4 * EXPIRY)
            .capacity(CAPACITY);
        RabbitmqLocalChannelLayer::builder()
            .url(&self.url)
            .directory(&self.segments)
            .config(config)
            .build()
            .expect("a layer")
    }
}

impl conformance::Harness for Local {
    type Layer = RabbitmqLocalChannelLayer;
    const EXPIRY: Duration = EXPIRY;
    const CAPACITY: Option<usize> = Some(CAPACITY);
    // For the broker, new queues are work.
    const AHEAD: usize = 4;

    async fn layer(&self) -> Self::Layer {
        self.place().make()
    }

    async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
        let place = self.place();
        let client = || Arc::new(place.make()) as _;
        std::iter::repeat_with(client).take(count).collect()
    }
}

conformance::suite!(
    Local::default(),
    ignore {
        group_message_expiry_drops_membership: "groups are in RabbitMQ, normal channels are not",
    }
);
