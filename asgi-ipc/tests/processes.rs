//! The layer passes the conformance suite with every client in a process of its own.

#[path = "support/child.rs"]
mod child;
#[path = "support/remote.rs"]
mod remote;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use asgi_ipc::IpcChannelLayer;
use asgiref::ChannelLayer;
use conformance::Harness;

use child::Parent;
use remote::RemoteLayer;
use support::Segments;

const EXPIRY: Duration = Duration::from_secs(2);
const GROUP_EXPIRY: Duration = Duration::from_secs(9);
const CAPACITY: usize = 10;

fn layer(directory: &Path) -> IpcChannelLayer {
    let layer = IpcChannelLayer::builder()
        .directory(directory)
        .message_memory(8 << 20)
        .group_memory(1 << 20)
        .expiry(EXPIRY)
        .group_expiry(GROUP_EXPIRY)
        .capacity(CAPACITY)
        .build();
    layer.expect("a segment can be made")
}

#[test]
#[ignore = "a process of the other tests"]
fn serve() {
    let (stream, directory) = child::connect();
    let layer: Arc<dyn ChannelLayer> = Arc::new(layer(&directory));
    remote::serve(&layer, stream);
}

/// Clients in other processes, and the directory of their segment.
struct ManyProcesses {
    segments: std::sync::Mutex<Vec<Segments>>,
}

impl ManyProcesses {
    fn new() -> Self {
        Self {
            segments: std::sync::Mutex::default(),
        }
    }

    fn start(&self, count: usize) -> Vec<RemoteLayer> {
        let segments = Segments::new();
        let parent = Parent::new(segments.path());
        let layers = (0..count)
            .map(|_| {
                let process = parent.spawn("serve");
                let (stream, _) = parent.listener.accept().expect("the child connects");
                RemoteLayer::new(process, stream, GROUP_EXPIRY)
            })
            .collect();
        self.segments.lock().unwrap().push(segments);
        layers
    }
}

impl Harness for ManyProcesses {
    type Layer = RemoteLayer;
    const EXPIRY: Duration = EXPIRY;
    const EXPIRY_MARGIN: Duration = Duration::from_millis(200);
    const CAPACITY: Option<usize> = Some(CAPACITY);
    // On the way from the other process, when the call is given up here.
    const CANCEL_MAY_LOSE_ONE: bool = true;
    const DELIVERIES: usize = 5000;

    async fn layer(&self) -> RemoteLayer {
        self.start(1).remove(0)
    }

    async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
        let layers = self.start(count).into_iter();
        layers
            .map(|layer| Arc::new(layer) as Arc<dyn ChannelLayer>)
            .collect()
    }
}

conformance::suite!(ManyProcesses::new());
