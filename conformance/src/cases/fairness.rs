use asgiref::message;

use crate::client::{client, window};
use crate::harness::Harness;

/// A channel that always has messages does not keep those of another from being received,
/// whichever is named first.
///
/// The specification leaves this to the layer; a site with one busy protocol depends on it.
pub async fn busy_channel_does_not_starve_a_quiet_one<H: Harness>(h: &H) {
    for channels in [["busy", "quiet"], ["quiet", "busy"]] {
        // A layer that picks at random misses the quiet one this often once in 2^100 tries.
        expect_served(h, &channels, "quiet", "quiet", 100).await;
    }
}

/// The same with ten busy channels, and with the quiet one among them.
pub async fn busy_channels_do_not_starve_a_quiet_one<H: Harness>(h: &H) {
    let busy: Vec<_> = (0..10).map(|i| format!("busy.{i}")).collect();
    for at in [0, 5, 10] {
        let mut channels: Vec<_> = busy.iter().map(String::as_str).collect();
        channels.insert(at, "quiet");
        // For a random pick among eleven: once in 10^20 tries.
        expect_served(h, &channels, "quiet", "quiet", 500).await;
    }
}

/// A program that receives for a process and from normal channels gets both, whichever is busy.
pub async fn busy_channel_does_not_starve_a_process_specific_one<H: Harness>(h: &H) {
    for channels in [["busy", "quiet!"], ["quiet!", "busy"]] {
        expect_served(h, &channels, "quiet!", "quiet!x", 100).await;
    }
    for channels in [["busy!", "quiet"], ["quiet", "busy!"]] {
        expect_served(h, &channels, "quiet", "quiet", 100).await;
    }
}

/// Keeps all channels but `quiet` from becoming empty, and expects the one message on `quiet`
/// within `rounds` receives.
async fn expect_served<H: Harness>(
    h: &H,
    channels: &[&str],
    quiet: &str,
    target: &str,
    rounds: usize,
) {
    let client = client(h).await;
    let busy = || channels.iter().filter(|channel| **channel != quiet);
    for channel in busy() {
        for _ in 0..window::<H>().min(4) {
            client.send(channel, message! { "k" => "busy" }).await;
        }
    }
    client.send(target, message! { "k" => "quiet" }).await;
    for _ in 0..rounds {
        let (channel, _) = client.receive(channels).await;
        if channel == target {
            return;
        }
        client
            .send(channel.as_str(), message! { "k" => "busy" })
            .await;
    }
    panic!(
        "a busy channel must not starve a quiet one: `{target}` not served in {rounds} receives on {channels:?}"
    );
}
