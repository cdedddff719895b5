use asgiref::{Extension, message};
use tokio::time::{sleep, timeout};

use crate::client::{capacity, client, clients, moment, needs};
use crate::harness::Harness;
use crate::outcome::Skipped;

/// After a flush no message is left, on channels of any kind ([ASGI: Specification Details]).
/// Python: `test_flush`.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn flush<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Flush)?;
    let client = client(h).await;
    // Flushing an empty layer is no error.
    client.flush_all().await;
    for target in ["chan.fl", "chan.fl?x", "chan.fl!x"] {
        client.send(target, message! { "value" => "v1" }).await;
    }
    client.flush_all().await;
    for channel in ["chan.fl", "chan.fl?x", "chan.fl!"] {
        client
            .expect_nothing(&[channel], "flush removes all messages")
            .await;
    }
    let after = message! { "value" => "after" };
    client.send("chan.fl", after.clone()).await;
    let rule = "a flushed layer works as before";
    client.expect(&["chan.fl"], "chan.fl", &after, rule).await;
    Ok(())
}

/// A message sent to a group is gone after a flush ([ASGI: Specification Details]). Python:
/// `test_flush_groups`.
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn flush_groups<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    needs::<H>(Extension::Flush)?;
    let client = client(h).await;
    for member in ["mem.f", "mem.f!x"] {
        client.group_add("grp.f", member).await;
    }
    client
        .send_group("grp.f", message! { "value" => "v1" })
        .await;
    client.flush_all().await;
    for channel in ["mem.f", "mem.f!"] {
        let rule = "flush removes the messages that came through groups";
        client.expect_nothing(&[channel], rule).await;
    }
    Ok(())
}

/// After a flush no group has members ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn flush_removes_membership<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    needs::<H>(Extension::Flush)?;
    let client = client(h).await;
    for member in ["fc", "fc!x"] {
        client.group_add("fg", member).await;
    }
    client.flush_all().await;
    let rule = "flush removes all memberships";
    client.expect_members("fg", &[], rule).await;
    let message = message! { "value" => "x" };
    client.send_group("fg", message.clone()).await;
    for channel in ["fc", "fc!"] {
        client.expect_nothing(&[channel], rule).await;
    }
    client.group_add("fg", "fc").await;
    client.send_group("fg", message.clone()).await;
    let rule = "a group can be joined again after a flush";
    client.expect(&["fc"], "fc", &message, rule).await;
    Ok(())
}

/// When a flush returns, the layer is empty for every client, not only for the one that flushed
/// ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn flush_is_seen_by_every_client<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Flush)?;
    let [one, other, third] = clients(h).await;
    let grouped = H::EXTENSIONS.contains(&Extension::Groups);
    for client in [&one, &other, &third] {
        for target in ["shared", "shared!x"] {
            client.send(target, message! { "value" => "v1" }).await;
        }
        if grouped {
            client.group_add("grp", "member").await;
        }
    }
    other.flush_all().await;
    for client in [&one, &other, &third] {
        let rule = "the layer is empty for every client when a flush returns";
        client.expect_nothing(&["shared", "shared!"], rule).await;
        if grouped {
            client.expect_members("grp", &[], rule).await;
        }
    }
    Ok(())
}

/// A receive that waits while the layer is flushed goes on waiting and gets the next message
/// ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn flush_keeps_blocked_receivers<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Flush)?;
    let [reader, writer] = clients(h).await;
    let mut waiting = tokio::spawn(async move { reader.receive(&["chan.fl", "chan.fl!"]).await });
    // Lets the receive begin; if it has not, the case is only easier.
    sleep(moment::<H>()).await;
    writer.flush_all().await;
    if let Ok(ended) = timeout(moment::<H>(), &mut waiting).await {
        panic!("a flush must not end a receive that waits, it ended with {ended:?}");
    }
    let message = message! { "value" => "after" };
    writer.send("chan.fl!x", message.clone()).await;
    let (channel, received) = waiting.await.unwrap_or_else(|error| {
        panic!("a receive that waited during a flush must get the next message: {error}")
    });
    assert_eq!((channel.as_str(), received), ("chan.fl!x", message));
    Ok(())
}

/// A flush makes room on full channels ([ASGI: Specification Details]).
///
/// [ASGI: Specification Details]: https://channels.readthedocs.io/en/1.x/asgi.html#specification-details
pub async fn flush_frees_capacity<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Flush)?;
    let capacity = capacity::<H>()?;
    let client = client(h).await;
    for _ in 0..2 {
        // Every send must be accepted, the second time too.
        for i in 0..capacity {
            client.send("chan.fl", message! { "i" => i as i64 }).await;
            client
                .send(&format!("chan.fl!{i}"), message! { "i" => i as i64 })
                .await;
        }
        client.flush_all().await;
    }
    Ok(())
}
