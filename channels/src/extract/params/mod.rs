mod de;

use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::ConsumerError;
use crate::extract::FromMessage;
use crate::extract::message::invalid;

/// What the named groups of the route's patterns captured, as a `T`.
///
/// `T` may be a struct or map with the groups' names as keys, a tuple of all groups in order, or,
/// if there is one group, a single value. Numbers, booleans, characters and enums without data
/// are read from the captured text. A field for a group that may take no part in the match is an
/// `Option`.
///
/// ```
/// use channels::Params;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Page { article: u64, page: Option<u32> }
///
/// // For a route with .path(r"/articles/(?P<article>[0-9]+)(?:/(?P<page>[0-9]+))?$")
/// async fn watch(Params(Page { article, page }): Params<Page>) {
///     println!("page {} of article {article}", page.unwrap_or(1));
/// }
/// # let _: channels::Router = channels::Router::new()
/// #     .route(channels::route("websocket.connect", watch));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromMessage<S> for Params<T> {
    type Rejection = ConsumerError;

    async fn from_message(cx: &Context, _state: &S) -> Result<Self, ConsumerError> {
        match T::deserialize(de::Params(cx.params())) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(invalid("Params", error)),
        }
    }
}
