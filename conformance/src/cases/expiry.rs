use asgiref::{Extension, message};
use tokio::time::sleep;

use crate::client::{client, needs};
use crate::harness::Harness;
use crate::outcome::Skipped;

/// A message nobody received in time is never delivered ([ASGI: Channels and Messages]). Python:
/// `test_message_expiry`.
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn message_expiry<H: Harness>(h: &H) {
    let client = client(h).await;
    client.send("chan.exp", message! { "value" => "v1" }).await;
    sleep(H::EXPIRY + H::EXPIRY_MARGIN).await;
    let rule = "an expired message must not be delivered";
    client.expect_nothing(&["chan.exp"], rule).await;
}

/// The same on the other kinds of channel ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn message_expiry_of_single_reader_and_process_specific<H: Harness>(h: &H) {
    let client = client(h).await;
    for target in ["exp?x", "exp!x", "exp!y"] {
        client.send(target, message! { "value" => "v1" }).await;
    }
    sleep(H::EXPIRY + H::EXPIRY_MARGIN).await;
    let rule = "an expired message must not be delivered, on channels of any kind";
    for channel in ["exp?x", "exp!"] {
        client.expect_nothing(&[channel], rule).await;
    }
}

/// The same for messages that came through a group ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn message_expiry_in_groups<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    for member in ["exp", "exp?x", "exp!x"] {
        client.group_add("grp", member).await;
    }
    client.send_group("grp", message! { "value" => "v1" }).await;
    sleep(H::EXPIRY + H::EXPIRY_MARGIN).await;
    let rule = "an expired message to a group must not be delivered";
    for channel in ["exp", "exp?x", "exp!"] {
        client.expect_nothing(&[channel], rule).await;
    }
    Ok(())
}

/// Each message has its own age: an old one expires although newer ones keep coming, and they
/// stay ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn message_expiry_is_per_message<H: Harness>(h: &H) {
    let client = client(h).await;
    let targets = [("exp", "exp"), ("exp?x", "exp?x"), ("exp!", "exp!x")];
    // Longer than half of the expiry, shorter than the expiry.
    let pause = (H::EXPIRY + H::EXPIRY_MARGIN) / 2;
    for age in ["old", "new"] {
        for (_, target) in targets {
            client.send(target, message! { "age" => age }).await;
        }
        sleep(pause).await;
    }
    for (channel, target) in targets {
        let rule = "the old message expires, the newer one stays";
        let newer = message! { "age" => "new" };
        client.expect(&[channel], target, &newer, rule).await;
        client.expect_nothing(&[channel], rule).await;
    }
}

/// A message waits for its reader as long as it was promised ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn messages_wait_until_they_expire<H: Harness>(h: &H) {
    let client = client(h).await;
    let targets = [("wait", "wait"), ("wait?x", "wait?x"), ("wait!", "wait!x")];
    for (_, target) in targets {
        client.send(target, message! { "value" => "v1" }).await;
    }
    sleep(H::EXPIRY / 2).await;
    for (channel, target) in targets {
        let rule = "half of the expiry is over, the message must still be there";
        let message = message! { "value" => "v1" };
        client.expect(&[channel], target, &message, rule).await;
    }
}
