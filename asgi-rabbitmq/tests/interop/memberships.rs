//! Memberships that end by themselves, in the form of groups that both sides have.

use std::time::Duration;

use asgiref::{ChannelLayer as _, ChannelLayerExt as _, message};

use crate::support::broker::Broker;
use crate::support::pair::{Settings, channel, group};
use crate::support::topology::Topology;
use crate::support::until;

/// Who is in the group, as the broker knows it.
fn members(settings: &Settings, group: &str) -> Vec<String> {
    let topology = Topology::of(Broker::shared(), settings.virtual_host());
    let bindings = topology.bindings.into_iter();
    let members = bindings.filter(|binding| binding.source == group);
    members.map(|binding| binding.destination).collect()
}

const KINDS: [&str; 2] = ["normal", "process!one"];

/// How often a membership that Python added is watched. Its marker is read when it expires, 25 ms
/// before its queue does: where those pass between the declaration and the marker, as on a busy
/// machine, the membership stays until it is added again.
const TRIES: usize = 5;

/// A membership of two seconds ends within ten.
async fn expires(added_by_us: bool, buried_by_us: bool) -> bool {
    let settings = Settings::shared().compatible_groups().group_expiry(2);
    let (ours, theirs) = (settings.ours(), settings.theirs());
    if buried_by_us {
        let sent = ours.send(&channel("awake"), message! {}).await;
        sent.expect("there is room");
    } else {
        theirs.send("awake", &message! {}).expect("there is room");
    }
    for member in KINDS {
        if added_by_us {
            let groups = ours.require_groups().expect("the layer has groups");
            let added = groups.group_add(&group("brief"), &channel(member)).await;
            added.expect("added");
        } else {
            theirs.group_add("brief", member).expect("added");
        }
    }
    let gone = async {
        while !members(&settings, "brief").is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .is_ok()
}

/// By the marker of whoever added the member, as long as a process of either kind is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memberships_expire_whoever_added_them() {
    for added_by_us in [true, false] {
        for buried_by_us in [true, false] {
            let mut tries = 1;
            while !expires(added_by_us, buried_by_us).await {
                let may_stay = !added_by_us && tries < TRIES;
                assert!(may_stay, "{added_by_us} {buried_by_us}");
                tries += 1;
            }
        }
    }
}

/// The specification recommends that, and the original does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_messages_end_the_memberships_of_their_channel() {
    for sent_by_us in [true, false] {
        let settings = Settings::shared().compatible_groups().expiry(1);
        let (ours, theirs) = (settings.ours(), settings.theirs());
        for member in KINDS {
            theirs.group_add("chat", member).expect("added");
            if sent_by_us {
                let sent = ours.send(&channel(member), message! {}).await;
                sent.expect("there is room");
            } else {
                theirs.send(member, &message! {}).expect("there is room");
            }
        }
        until("the memberships to end", || {
            members(&settings, "chat").is_empty()
        })
        .await;
    }
}
