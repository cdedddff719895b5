use std::collections::BTreeSet;

use asgiref::ChannelLayerExt as _;

use crate::client::client;
use crate::harness::Harness;

/// A layer says which extensions it provides, and those are the ones its harness lists
/// ([ASGI: Extensions]).
///
/// What is provided and not listed would go untested; what is listed and not provided would be
/// found out by an application in service.
///
/// [ASGI: Extensions]: https://channels.readthedocs.io/en/1.x/asgi.html#extensions
pub async fn extensions<H: Harness>(h: &H) {
    let listed: BTreeSet<_> = H::EXTENSIONS.iter().copied().collect();
    let provided = client(h).await.layer().extensions();
    assert_eq!(
        provided, listed,
        "the extensions provided (left) must be those Harness::EXTENSIONS lists (right)"
    );
}
