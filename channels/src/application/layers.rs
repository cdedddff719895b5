use std::sync::Arc;

use asgiref::config::LayerSettings;
use asgiref::{ChannelLayer, InMemoryChannelLayer, LayerConfig};

use crate::error::{Error, Result};

/// Room in each channel of the layer that is used if none is configured.
const CAPACITY: usize = 1_000;

/// Room for messages to all connections of a protocol server together.
const REPLY_CAPACITY: usize = 100_000;

/// The channel layer that `settings` describe.
pub(crate) fn open_layer(settings: &LayerSettings) -> Result<Arc<dyn ChannelLayer>> {
    if InMemoryChannelLayer::SCHEMES.contains(&settings.scheme()) {
        return Ok(Arc::new(InMemoryChannelLayer::from_settings(settings)?));
    }
    Err(Error::config(
        format!("channel layer `{settings}`"),
        format_args!(
            "`{}` is no channel layer this program knows",
            settings.scheme()
        ),
    ))
}

/// A layer for programs that configured none.
pub(super) fn private_layer() -> Result<Arc<dyn ChannelLayer>> {
    let config = LayerConfig::new()
        .capacity(CAPACITY)
        .channel_capacity("daphne.response.*!", REPLY_CAPACITY)?;
    Ok(Arc::new(InMemoryChannelLayer::with_config(config)))
}
