//! Servers watched by sentinels.

use asgi_redis::RedisSentinelChannelLayer;
use asgiref::{ChannelLayer as _, ChannelLayerExt as _, message};
use serde_json::{Value as Json, json};

use crate::support::pair::{channel, group, take};
use crate::support::python::{Backend, Python};
use crate::support::sentinel::Sentinels;

/// The Python original.
const SENTINELS: Backend = Backend::installed("asgi_redis.RedisSentinelChannelLayer");

/// Python makes a ring of the services in the order it is told.
#[tokio::test]
async fn both_sides_keep_everything_at_the_same_services() {
    let sentinels = Sentinels::start(&["beta", "alpha"]);
    let hosts: Vec<Json> = sentinels
        .ports()
        .iter()
        .map(|port| json!(["127.0.0.1", port]))
        .collect();
    let python = Python::start(&SENTINELS);
    let theirs = python.layer(&json!({
        "hosts": hosts,
        "services": ["alpha", "beta"],
    }));
    let told = RedisSentinelChannelLayer::builder()
        .sentinels(sentinels.urls())
        .services(["alpha", "beta"])
        .build()
        .expect("the settings are valid");
    let discovered = RedisSentinelChannelLayer::builder()
        .sentinels(sentinels.urls())
        .build();
    for ours in [told, discovered.expect("the settings are valid")] {
        let groups = ours.require_groups().expect("the layer has groups");
        for number in 0..12 {
            let message = message! { "number" => number };
            for name in [
                format!("single?{number}"),
                format!("process.{number}!local"),
            ] {
                let name = channel(&name);
                ours.send(&name, message.clone())
                    .await
                    .expect("there is room");
                let received = theirs
                    .try_receive(&[name.non_local()])
                    .expect("no exception");
                assert_eq!(received, Some((name.to_string(), message.clone())));
                theirs.send(name.as_str(), &message).expect("there is room");
                let received = take(&ours, name.non_local()).await;
                assert_eq!(received, (name.to_string(), message.clone()));
            }
            let name = format!("group-{number}");
            theirs.group_add(&name, "process!of-python").expect("added");
            groups
                .group_add(&group(&name), &channel("process!of-ours"))
                .await
                .expect("added");
            let members = ["process!of-ours", "process!of-python"];
            assert_eq!(theirs.group_channels(&name).expect("members"), members);
            let seen = groups.group_channels(&group(&name)).await.expect("members");
            assert!(seen.iter().eq(members.map(channel).iter()), "{seen:?}");
        }
    }
}
