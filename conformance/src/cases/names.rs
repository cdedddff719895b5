use asgiref::{Extension, message};
use tokio::time::Instant;

use crate::client::{client, window};
use crate::harness::Harness;

/// Names of 100 bytes work ([ASGI: Channel Semantics]).
///
/// [ASGI: Channel Semantics]: https://channels.readthedocs.io/en/1.x/asgi.html#channel-semantics
pub async fn name_of_100_bytes<H: Harness>(h: &H) {
    names_of_length(h, 100).await;
}

/// Names of 199 bytes work, of every kind and for groups: "less than 200 characters" ([Channels:
/// Channel Types]).
///
/// [Channels: Channel Types]: https://channels.readthedocs.io/en/1.x/concepts.html#channel-types
pub async fn longest_names<H: Harness>(h: &H) {
    names_of_length(h, asgiref::MAX_NAME_LENGTH).await;
}

async fn names_of_length<H: Harness>(h: &H, length: usize) {
    let client = client(h).await;
    let normal = "n".repeat(length);
    let single = format!("{}?{}", "s".repeat(length - 9), "r".repeat(8));
    let prefix = format!("{}!", "p".repeat(length / 2));
    let process = format!("{prefix}{}", "l".repeat(length - prefix.len()));
    let rule = format!("a name of {length} bytes must work");
    for (channel, target) in [(&normal, &normal), (&single, &single), (&prefix, &process)] {
        let message = message! { "value" => "x" };
        client.send(target, message.clone()).await;
        client.expect(&[channel], target, &message, &rule).await;
    }
    if H::EXTENSIONS.contains(&Extension::Groups) {
        let group = "g".repeat(length);
        let message = message! { "value" => "y" };
        client.group_add(&group, &process).await;
        client.send_group(&group, message.clone()).await;
        client.expect(&[&prefix], &process, &message, &rule).await;
    }
}

/// Names are compared byte by byte: upper and lower case, `.`, `-` and `_`, and longer names that
/// begin alike are different channels ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn names_are_exact<H: Harness>(h: &H) {
    let client = client(h).await;
    let names = [
        "chan.a",
        "chan.A",
        "Chan.a",
        "chan-a",
        "chan_a",
        "chana",
        "chan.aa",
        "chan.a.",
        "chan",
        "chan.a?b",
        "chan.a?B",
        "chan.a?b.",
        "a",
        "A",
        "0",
        "00",
    ];
    for name in names {
        client.send(name, message! { "to" => name }).await;
    }
    for name in names {
        let rule = "channels with different names are different";
        client
            .expect(&[name], name, &message! { "to" => name }, rule)
            .await;
        client.expect_nothing(&[name], rule).await;
    }
}

/// Every name the rules allow is free for use, whatever it means to the software behind the layer
/// ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn names_are_free<H: Harness>(h: &H) {
    let client = client(h).await;
    let groups = H::EXTENSIONS.contains(&Extension::Groups);
    for name in [
        ".",
        "..",
        "-",
        "_",
        "--help",
        "...hidden",
        "con",
        "nul",
        "amq.direct",
        "amq.gen-x",
        "dead-letters",
        "expire.bind.x",
        "asgi",
        "asgi-meta",
        "__asgi_channel__",
        "asgi__group__x",
        "lock",
        "messages",
        "-1",
        "1e9",
        "true",
        "a.b.c.d.e.f",
        "x?.",
        "x?-",
        ".?.",
        "_!_",
    ] {
        let message = message! { "to" => name };
        let channel = match name.find('!') {
            Some(at) => &name[..=at],
            None => name,
        };
        client.send(name, message.clone()).await;
        let rule = "every allowed name works as a channel";
        client.expect(&[channel], name, &message, rule).await;
        if groups && !name.contains(['?', '!']) {
            client.group_add(name, name).await;
            client.send_group(name, message.clone()).await;
            let rule = "every allowed name works as a group";
            client.expect(&[name], name, &message, rule).await;
        }
    }
}

/// A thousand channels are in use at the same time and do not disturb each other ([ASGI: Channels
/// and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn many_channels<H: Harness>(h: &H) {
    const CHANNELS: usize = 1_000;
    const BLOCK: usize = 200;
    let client = client(h).await;
    let per_prefix = window::<H>();
    let targets: Vec<_> = (0..CHANNELS)
        .map(|i| match i % 3 {
            0 => format!("many.{i}"),
            1 => format!("many?{i}"),
            _ => format!("many.{}!{i}", i / (3 * per_prefix)),
        })
        .collect();
    // In blocks, which end before the first message of a slow layer expires.
    let mut rest = targets.as_slice();
    while !rest.is_empty() {
        let begin = Instant::now();
        let mut sent = 0;
        while sent < rest.len().min(BLOCK) && begin.elapsed() < H::EXPIRY / 3 {
            let target = rest[sent].as_str();
            client.send(target, message! { "to" => target }).await;
            sent += 1;
        }
        let (block, unsent) = rest.split_at(sent);
        rest = unsent;
        for target in block {
            let channel = match target.find('!') {
                Some(at) => &target[..=at],
                None => target,
            };
            let message = message! { "to" => target.as_str() };
            let rule = "each of many channels keeps its own messages";
            client.expect(&[channel], target, &message, rule).await;
        }
    }
}
