//! Channel layers by URL.
//!
//! | scheme | layer |
//! |---|---|
//! | `memory:` | [`asgiref::InMemoryChannelLayer`], within one process |
//! | `ipc:` | crate `asgi-ipc`, between the processes of a machine; Cargo feature `ipc`, on by default |
//! | `redis:`, `rediss:`, `redis+unix:`, `redis+sentinel:`, `redis+cluster:`, `redis+local:` | crate `asgi-redis`, between machines; Cargo feature `redis`, on by default |
//! | `amqp:`, `amqps:`, `amqp+local:`, `amqps+local:` | crate `asgi-rabbitmq`, between machines; Cargo feature `rabbitmq`, on by default |

use std::sync::Arc;

use asgiref::config::LayerSettings;
use asgiref::{ChannelLayer, InMemoryChannelLayer};

use crate::error::{Error, Result};

/// The schemes of layers this build does not have, and where those are.
const OTHERS: &[(&[&str], &str)] = &[
    #[cfg(not(feature = "redis"))]
    (
        &[
            "redis",
            "rediss",
            "redis+unix",
            "redis+sentinel",
            "redis+cluster",
            "redis+local",
        ],
        "the feature `redis`",
    ),
    #[cfg(not(feature = "rabbitmq"))]
    (
        &["amqp", "amqps", "amqp+local", "amqps+local"],
        "the feature `rabbitmq`",
    ),
    #[cfg(not(feature = "ipc"))]
    (&["ipc"], "the feature `ipc`"),
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
    #[cfg(feature = "redis")]
    if asgi_redis::SCHEMES.contains(&scheme) {
        return asgi_redis::from_settings(settings).map_err(|source| fail(source.into()));
    }
    #[cfg(feature = "rabbitmq")]
    if asgi_rabbitmq::SCHEMES.contains(&scheme) {
        return asgi_rabbitmq::from_settings(settings).map_err(|source| fail(source.into()));
    }
    let other = OTHERS.iter().find(|(schemes, _)| schemes.contains(&scheme));
    Err(fail(match other {
        Some((_, place)) => {
            format!("`{scheme}:` is for {place}, which is not in this build").into()
        }
        None => format!(
            "`{scheme}:` is not known; there are memory:, redis:, rediss:, redis+unix:, \
             redis+sentinel:, redis+cluster:, redis+local:, amqp:, amqps:, amqp+local:, \
             amqps+local: and ipc: (what is wanted is a URL, not the name of an \
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

    #[cfg(feature = "redis")]
    #[test]
    fn a_layer_over_redis_connects_when_it_is_used() {
        let layer = from_url("redis://:secret@localhost:1/0?capacity=3").unwrap();
        assert_eq!(layer.to_string(), "RedisChannelLayer(localhost:1)");
        let text = explanation("redis://:secret@localhost/0?nosuch=1");
        assert!(text.contains("nosuch"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[cfg(feature = "rabbitmq")]
    #[test]
    fn a_layer_over_rabbitmq_connects_when_it_is_used() {
        let layer = from_url("amqp://me:secret@localhost:1/site?capacity=3").unwrap();
        let name = "RabbitmqChannelLayer(localhost:1/site)";
        assert_eq!(layer.to_string(), name);
        let text = explanation("amqp://me:secret@localhost?nosuch=1");
        assert!(text.contains("nosuch"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn what_is_not_there_is_said_plainly_and_without_passwords() {
        assert!(explanation("carrier-pigeon:").contains("not known"));
        assert!(explanation("project.asgi").contains("URL"));
    }
}
