//! How long members stay in their groups.

use std::time::Duration;

use asgiref::{Extension, message};
use tokio::time::sleep;

use crate::client::{Client, client, needs};
use crate::harness::Harness;
use crate::outcome::Skipped;

/// A membership ends when the group expiry has passed since it was added ([ASGI: Persistence]).
/// Python: `test_group_expiry`.
///
/// [ASGI: Persistence]: https://channels.readthedocs.io/en/1.x/asgi.html#persistence
pub async fn group_expiry<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    let members = [("mem.e", "mem.e"), ("mem.e!", "mem.e!x")];
    for (_, member) in members {
        client.group_add("grp.e", member).await;
    }
    sleep(usable_expiry(&client) + H::EXPIRY_MARGIN).await;
    let rule = "a membership must end group_expiry after it was added";
    client.expect_members("grp.e", &[], rule).await;
    client
        .send_group("grp.e", message! { "value" => "v1" })
        .await;
    for (channel, _) in members {
        client.expect_nothing(&[channel], rule).await;
    }
    Ok(())
}

/// Each membership has its own end; a later member stays when an earlier one's time is over
/// ([ASGI: Persistence]).
///
/// [ASGI: Persistence]: https://channels.readthedocs.io/en/1.x/asgi.html#persistence
pub async fn group_expiry_is_per_membership<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    let pause = (usable_expiry(&client) + H::EXPIRY_MARGIN) / 2;
    client.group_add("grp.e", "mem!early").await;
    sleep(pause).await;
    client.group_add("grp.e", "mem!late").await;
    sleep(pause).await;
    let rule = "each membership ends group_expiry after it was added";
    client.expect_members("grp.e", &["mem!late"], rule).await;
    let message = message! { "value" => "v1" };
    client.send_group("grp.e", message.clone()).await;
    client.expect(&["mem!"], "mem!late", &message, rule).await;
    client.expect_nothing(&["mem!"], rule).await;
    Ok(())
}

/// Adding a member again makes its time start anew ([ASGI: Persistence]: "after the most recent
/// `group_add`").
///
/// [ASGI: Persistence]: https://channels.readthedocs.io/en/1.x/asgi.html#persistence
pub async fn readd_extends_group_expiry<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    let pause = (usable_expiry(&client) + H::EXPIRY_MARGIN) / 2;
    let members = [("rc", "rc"), ("rc!", "rc!x")];
    for _ in 0..2 {
        for (_, member) in members {
            client.group_add("rg", member).await;
        }
        sleep(pause).await;
    }
    let rule = "the group expiry counts from the most recent group_add";
    client.expect_members("rg", &["rc", "rc!x"], rule).await;
    let message = message! { "value" => "x" };
    client.send_group("rg", message.clone()).await;
    for (channel, member) in members {
        client.expect(&[channel], member, &message, rule).await;
    }
    Ok(())
}

/// A membership lasts although nothing is sent for three times the message expiry: only a message
/// that expires unread may end it early ([ASGI: Persistence]).
///
/// [ASGI: Persistence]: https://channels.readthedocs.io/en/1.x/asgi.html#persistence
pub async fn membership_survives_idling<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    usable_expiry(&client);
    let members = [("ic", "ic"), ("ic!", "ic!x"), ("ic?x", "ic?x")];
    for (_, member) in members {
        client.group_add("ig", member).await;
    }
    sleep(3 * H::EXPIRY).await;
    let message = message! { "value" => "x" };
    client.send_group("ig", message.clone()).await;
    for (channel, member) in members {
        let rule = "a membership must not end because the channel was idle";
        client.expect(&[channel], member, &message, rule).await;
    }
    Ok(())
}

/// A member whose messages are received stays, however much time passes between them, short of
/// the group expiry ([ASGI: Persistence]).
///
/// [ASGI: Persistence]: https://channels.readthedocs.io/en/1.x/asgi.html#persistence
pub async fn membership_survives_delivery<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    usable_expiry(&client);
    let members = [("dc", "dc"), ("dc!", "dc!x")];
    for (_, member) in members {
        client.group_add("dg", member).await;
    }
    for round in 0..3 {
        let message = message! { "round" => round };
        client.send_group("dg", message.clone()).await;
        sleep(H::EXPIRY / 2).await;
        for (channel, member) in members {
            let rule = "a membership must not end while messages are received";
            client.expect(&[channel], member, &message, rule).await;
        }
        sleep(H::EXPIRY / 2).await;
    }
    Ok(())
}

/// When a message on a process-specific channel expires unread, that channel leaves all its
/// groups, and only that one ([ASGI: Groups], recommended).
///
/// [ASGI: Groups]: https://channels.readthedocs.io/en/1.x/asgi.html#groups
pub async fn local_expiry_drops_membership<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    usable_expiry(&client);
    for (group, member) in [("lg", "lp!a"), ("lg", "lp!b"), ("lg2", "lp!a")] {
        client.group_add(group, member).await;
    }
    client.send("lp!a", message! { "value" => "x" }).await;
    sleep(H::EXPIRY + H::EXPIRY_MARGIN).await;
    client
        .expect_nothing(&["lp!"], "the message has expired")
        .await;
    let rule = "a process-specific channel leaves its groups when a message on it expires";
    client.expect_members("lg", &["lp!b"], rule).await;
    client.expect_members("lg2", &[], rule).await;
    Ok(())
}

/// The same for a normal channel and a message that came through the group: the member is gone,
/// and gets no more ([ASGI: Persistence]: "may drop membership at any time").
///
/// A layer may keep such members until the group expiry; it then declares a deviation. Python:
/// `test_group_message_eviction` of the in-memory layer.
///
/// [ASGI: Persistence]: https://channels.readthedocs.io/en/1.x/asgi.html#persistence
pub async fn group_message_expiry_drops_membership<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    usable_expiry(&client);
    client.group_add("grp.m", "tgchan.exp").await;
    client
        .send_group("grp.m", message! { "value" => "v1" })
        .await;
    sleep(H::EXPIRY + H::EXPIRY_MARGIN).await;
    client
        .send_group("grp.m", message! { "value" => "v1" })
        .await;
    let rule = "a channel leaves its groups when a message on it expires";
    client.expect_nothing(&["tgchan.exp"], rule).await;
    client.expect_members("grp.m", &[], rule).await;
    Ok(())
}

/// A channel that joins again after a message on it expired is a member like any other ([ASGI:
/// Persistence]: no membership ends until another message expires).
///
/// [ASGI: Persistence]: https://channels.readthedocs.io/en/1.x/asgi.html#persistence
pub async fn rejoining_after_expiry_lasts<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    usable_expiry(&client);
    let members = [("back", "back"), ("back!", "back!x")];
    for (_, member) in members {
        client.group_add("grp", member).await;
        client.send(member, message! { "value" => "unread" }).await;
    }
    sleep(H::EXPIRY + H::EXPIRY_MARGIN).await;
    for (channel, member) in members {
        client.group_add("grp", member).await;
        client
            .expect_nothing(&[channel], "the first message has expired")
            .await;
    }
    let rule = "a message that expired before a channel joined must not end its membership";
    client
        .expect_members("grp", &["back", "back!x"], rule)
        .await;
    let message = message! { "value" => "x" };
    client.send_group("grp", message.clone()).await;
    for (channel, member) in members {
        client.expect(&[channel], member, &message, rule).await;
    }
    Ok(())
}

/// The layer's group expiry, if these cases can be run with it.
fn usable_expiry<H: Harness>(client: &Client<H>) -> Duration {
    let group_expiry = client.groups().group_expiry();
    let least = 4 * H::EXPIRY;
    assert!(
        group_expiry >= least,
        "configure the layer with a group expiry of at least {least:?}, four times \
         Harness::EXPIRY; it is {group_expiry:?}"
    );
    let most = Duration::from_secs(20);
    assert!(
        H::VIRTUAL_TIME || group_expiry <= most,
        "configure the layer with a group expiry of at most {most:?}, because time is real; it is \
         {group_expiry:?}"
    );
    group_expiry
}
