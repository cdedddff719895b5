//! A channel layer of your own: a directory of files, which joins all processes that can see it.
//!
//! `layer.rs` is the layer, `store.rs` the files behind it, and the tests below run the
//! conformance suite on it. Here is an application that uses it.
//!
//! Run with
//!
//! ```text
//! cargo run -p examples --bin custom-layer -- runserver --noworker
//! cargo run -p examples --bin custom-layer -- runworker
//! ```
//!
//! in two terminals and open the address the first one prints. Stop the worker and reload the
//! page: the request waits, as a file in the directory, until a worker is back.

mod layer;
mod store;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use asgiref::LayerConfig;
use channels::{Application, Router};

use layer::DirectoryChannelLayer;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let directory = std::env::temp_dir().join("custom-layer");
    let layer = DirectoryChannelLayer::new(directory, LayerConfig::new())?;
    let application = Application::builder()
        .router(Router::new())
        .http(pages())
        .layer("default", Arc::new(layer))
        .build()?;
    Ok(examples::run(application)?)
}

fn pages() -> axum::Router {
    let answer = async || format!("Process {} has done this.\n", std::process::id());
    axum::Router::new().route("/", axum::routing::get(answer))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use asgiref::{ChannelLayer, Extension};
    use conformance::Harness;
    use tempfile::TempDir;

    use super::*;

    /// Makes layers in directories of their own, below one that is removed at the end.
    struct Directory {
        parent: TempDir,
        count: AtomicUsize,
    }

    impl Directory {
        fn new() -> Self {
            Self {
                parent: TempDir::new().expect("a temporary directory"),
                count: AtomicUsize::new(0),
            }
        }

        fn next(&self) -> std::path::PathBuf {
            let number = self.count.fetch_add(1, Ordering::Relaxed);
            self.parent.path().join(number.to_string())
        }

        fn open(directory: &Path) -> DirectoryChannelLayer {
            let config = LayerConfig::new()
                .expiry(Self::EXPIRY)
                .group_expiry(Duration::from_secs(14))
                .capacity(5);
            DirectoryChannelLayer::new(directory, config).expect("the directory can be made")
        }
    }

    impl Harness for Directory {
        type Layer = DirectoryChannelLayer;
        // Disks are slow: a case must get through a thousand files in much less than this.
        const EXPIRY: Duration = Duration::from_secs(3);
        const CAPACITY: Option<usize> = Some(5);
        const EXTENSIONS: &'static [Extension] = &[Extension::Flush, Extension::Groups];

        async fn layer(&self) -> DirectoryChannelLayer {
            Self::open(&self.next())
        }

        /// Layers that share nothing but the directory, as in several processes.
        async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
            let directory = self.next();
            let client = || Arc::new(Self::open(&directory)) as Arc<dyn ChannelLayer>;
            std::iter::repeat_with(client).take(count).collect()
        }
    }

    conformance::suite!(Directory::new());
}
