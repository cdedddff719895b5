//! The layer passes the conformance suite, with clients that share nothing but the segment.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use asgi_ipc::IpcChannelLayer;
use asgiref::ChannelLayer;
use conformance::Harness;

use support::Segments;

struct OneProcess {
    segments: Segments,
    count: AtomicU64,
}

impl OneProcess {
    fn new() -> Self {
        Self {
            segments: Segments::new(),
            count: AtomicU64::new(0),
        }
    }

    /// The name of a segment no other case has.
    fn next(&self) -> String {
        format!("s{}", self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn open(&self, prefix: &str) -> IpcChannelLayer {
        let layer = IpcChannelLayer::builder()
            .directory(self.segments.path())
            .prefix(prefix)
            .message_memory(8 << 20)
            .group_memory(1 << 20)
            .expiry(Self::EXPIRY)
            .group_expiry(Duration::from_secs(4))
            .capacity(10)
            .build();
        layer.expect("a segment can be made")
    }
}

impl Harness for OneProcess {
    type Layer = IpcChannelLayer;
    const EXPIRY: Duration = Duration::from_secs(1);
    const CAPACITY: Option<usize> = Some(10);

    async fn layer(&self) -> IpcChannelLayer {
        self.open(&self.next())
    }

    async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
        let prefix = self.next();
        let client = || Arc::new(self.open(&prefix)) as Arc<dyn ChannelLayer>;
        std::iter::repeat_with(client).take(count).collect()
    }
}

conformance::suite!(OneProcess::new());
