use std::sync::Arc;

use asgiref::{ChannelLayer, InMemoryChannelLayer, LayerConfig};

use crate::error::Result;

/// Room in each channel of the layer that is used if none is configured.
const CAPACITY: usize = 1_000;

/// Room for connections that wait for a consumer: about as many as a busy worker gets to before
/// the protocol server gives them up, which it does after 5 seconds.
const CONNECT_CAPACITY: usize = 2_000;

/// Room in the body channel of one upload. Times the 64 KiB daphne puts into a message it is the
/// memory that an upload takes whose body arrives faster than it is read; daphne waits then.
const BODY_CAPACITY: usize = 32;

/// A layer for programs that configured none.
pub(super) fn private_layer() -> Result<Arc<dyn ChannelLayer>> {
    let config = LayerConfig::new()
        .capacity(CAPACITY)
        .channel_capacity("websocket.connect", CONNECT_CAPACITY)?
        .channel_capacity("http.request.body?*", BODY_CAPACITY)?;
    Ok(Arc::new(InMemoryChannelLayer::with_config(config)))
}
