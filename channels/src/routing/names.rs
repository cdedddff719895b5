use asgiref::ChannelName;

/// One channel name or several, for [`route`](crate::route).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name channels",
    note = "a route takes a channel name (`&str`, `String`, `ChannelName`) or an array, slice or \
            `Vec` of names"
)]
pub trait IntoChannelNames {
    /// Converts into validated names.
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::InvalidName`].
    fn into_channel_names(self) -> asgiref::Result<Vec<ChannelName>>;
}

macro_rules! single_name {
    ($($type:ty)*) => {$(
        impl IntoChannelNames for $type {
            fn into_channel_names(self) -> asgiref::Result<Vec<ChannelName>> {
                Ok(vec![ChannelName::try_from(self)?])
            }
        }
    )*};
}

single_name! { &str String asgiref::ByteString ChannelName }

impl<N, const LENGTH: usize> IntoChannelNames for [N; LENGTH]
where
    N: TryInto<ChannelName, Error: Into<asgiref::Error>>,
{
    fn into_channel_names(self) -> asgiref::Result<Vec<ChannelName>> {
        collect(self)
    }
}

impl<N> IntoChannelNames for Vec<N>
where
    N: TryInto<ChannelName, Error: Into<asgiref::Error>>,
{
    fn into_channel_names(self) -> asgiref::Result<Vec<ChannelName>> {
        collect(self)
    }
}

impl<N> IntoChannelNames for &[N]
where
    N: Clone + TryInto<ChannelName, Error: Into<asgiref::Error>>,
{
    fn into_channel_names(self) -> asgiref::Result<Vec<ChannelName>> {
        collect(self.iter().cloned())
    }
}

fn collect<N>(names: impl IntoIterator<Item = N>) -> asgiref::Result<Vec<ChannelName>>
where
    N: TryInto<ChannelName, Error: Into<asgiref::Error>>,
{
    names
        .into_iter()
        .map(|name| name.try_into().map_err(Into::into))
        .collect()
}
