//! Channel layers by URL.
//!
//! | scheme | layer |
//! |---|---|
//! | `memory:` | [`asgiref::InMemoryChannelLayer`], within one process |
//! | `ipc:` | crate `asgi-ipc`, between the processes of a machine; Cargo feature `ipc`, on by default |
//! | `redis:`, `rediss:`, `redis+unix:`, `redis+sentinel:` | crate `asgi-redis` |
//! | `amqp:`, `amqps:` | crate `asgi-rabbitmq` |
//!
//! Of these, this version contains the first two.

use std::sync::Arc;

use asgiref::config::LayerSettings;
use asgiref::{ChannelLayer, InMemoryChannelLayer};

use crate::error::{Error, Result};

/// The schemes of layers that come with a crate of their own.
const OTHERS: &[(&[&str], &str)] = &[
    (
        &["redis", "rediss", "redis+unix", "redis+sentinel"],
        "asgi-redis",
    ),
    (&["amqp", "amqps"], "asgi-rabbitmq"),
    #[cfg(not(feature = "ipc"))]
    (&["ipc"], "asgi-ipc"),
];

/// Makes the channel layer that `url` describes.
///
/// ```
/// let layer = daphne::layers::from_url("memory:?capacity=1000")?;
/// assert!(layer.is_process_local());
/// # Ok::<(), daphne::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Layer`] if the URL cannot be read or this build has no layer for its scheme.
pub fn from_url(url: &str) -> Result<Arc<dyn ChannelLayer>> {
    let settings = url.parse().map_err(|source| Error::Layer {
        // What cannot be read may hold a password somewhere.
        layer: "of this URL".to_owned(),
        source: Box::new(source),
    })?;
    from_settings(&settings)
}

/// Makes the channel layer that `settings` describe: a URL, or a table of a configuration file.
///
/// # Errors
///
/// As [`from_url`].
pub fn from_settings(settings: &LayerSettings) -> Result<Arc<dyn ChannelLayer>> {
    let scheme = settings.scheme();
    let fail = |source: asgiref::BoxError| Error::Layer {
        layer: settings.to_string(),
        source,
    };
    if InMemoryChannelLayer::SCHEMES.contains(&scheme) {
        let layer = InMemoryChannelLayer::from_settings(settings);
        return Ok(Arc::new(layer.map_err(|source| fail(source.into()))?));
    }
    #[cfg(feature = "ipc")]
    if asgi_ipc::SCHEMES.contains(&scheme) {
        let layer = asgi_ipc::IpcChannelLayer::from_settings(settings);
        return Ok(Arc::new(layer.map_err(|source| fail(source.into()))?));
    }
    let other = OTHERS.iter().find(|(schemes, _)| schemes.contains(&scheme));
    Err(fail(match other {
        Some((_, name)) => {
            format!("`{scheme}:` is for the crate {name}, which this build does not contain").into()
        }
        None => format!(
            "`{scheme}:` is not known; there are memory:, redis:, rediss:, redis+unix:, \
             redis+sentinel:, amqp:, amqps: and ipc: (what is wanted is a URL, not the name of an \
             object in a Python module)"
        )
        .into(),
    }))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn explanation(url: &str) -> String {
        let error = from_url(url).unwrap_err();
        let source = error.source().map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    }

    #[test]
    fn a_layer_in_memory_takes_its_options_from_the_url() {
        let layer = from_url("memory:?capacity=3&expiry=10s").unwrap();
        assert!(layer.is_process_local());
        assert!(explanation("memory:?nosuch=1").contains("nosuch"));
    }

    #[cfg(feature = "ipc")]
    #[test]
    fn a_layer_in_shared_memory_reaches_other_processes() {
        let directory = tempfile::TempDir::new().unwrap();
        let url = format!("ipc:site?directory={}", directory.path().display());
        let layer = from_url(&url).unwrap();
        assert!(!layer.is_process_local());
        let other_size = from_url(&format!("{url}&message_memory=1MiB"));
        assert!(other_size.is_err());
    }

    #[test]
    fn what_is_not_there_is_said_plainly_and_without_passwords() {
        let text = explanation("redis://:secret@localhost:6379/0");
        assert!(text.contains("asgi-redis"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert!(explanation("amqp://localhost").contains("asgi-rabbitmq"));
        assert!(explanation("carrier-pigeon:").contains("not known"));
        assert!(explanation("project.asgi").contains("URL"));
    }
}
