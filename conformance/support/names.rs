//! Channels and groups by their names, and what is on them.

use asgiref::{ChannelLayer, ChannelName, GroupName, Message};

use super::within;

pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a valid name")
}

pub fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("a valid name")
}

/// The next message on `name`, which must come.
#[track_caller]
pub fn take(layer: &dyn ChannelLayer, name: &str) -> impl Future<Output = (String, Message)> {
    let what = format!("a message on {name}");
    let names = [channel(name)];
    within(what, async move {
        let (channel, message) = layer.receive(&names).await.expect("the layer works");
        (channel.to_string(), message)
    })
}

/// What is on `name` now; for names that are on one server.
pub async fn look(layer: &dyn ChannelLayer, name: &str) -> Option<(String, Message)> {
    let found = within("try_receive", layer.try_receive(&[channel(name)])).await;
    let found = found.expect("the layer works");
    found.map(|(channel, message)| (channel.to_string(), message))
}
