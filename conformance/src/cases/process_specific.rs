use asgiref::{Error, message};

use crate::client::{bounded, chain, client, name};
use crate::harness::Harness;

/// A process-specific channel is received by its name up to `!`, and a message comes with the
/// full name it was sent to ([ASGI: Channels and Messages]). Python:
/// `test_single_process_receive`.
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn process_specific_receive<H: Harness>(h: &H) {
    let client = client(h).await;
    for (target, value) in [("local.one!a", "p1"), ("local.one!b", "p2")] {
        let message = message! { "key" => value };
        client.send(target, message.clone()).await;
        let rule = "a process-specific message comes with its full name";
        client.expect(&["local.one!"], target, &message, rule).await;
    }
}

/// Receiving from a process-specific name with its local part is an error, because a process
/// receives for all its connections at once ([ASGI: Channels and Messages]). Python:
/// `test_single_process_receive_error`.
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn receive_with_local_part_fails<H: Harness>(h: &H) {
    let client = client(h).await;
    client.send("local.one!c", message! { "key" => "p1" }).await;
    let names = [name("chan.one"), name("local.one!c")];
    let looked = client.layer().try_receive(&names);
    let looked = bounded::<H, _>("try_receive with a local part", looked).await;
    let waited = client.layer().receive(&names);
    let waited = bounded::<H, _>("receive with a local part, which must fail,", waited).await;
    for result in [looked, waited.map(Some)] {
        match result {
            Err(Error::InvalidName { .. }) => {}
            Err(error) => panic!("the error must be InvalidName, not {}", chain(&error)),
            Ok(received) => {
                panic!("receive on a name with a local part must fail, it gave {received:?}")
            }
        }
    }
}

/// Channels are told apart by all that stands before `!` and by the type character ([ASGI:
/// Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn process_specific_prefixes_are_separate<H: Harness>(h: &H) {
    let client = client(h).await;
    let message = message! { "value" => "v1" };
    client.send("local.one!a", message.clone()).await;
    let rule = "a message for one process must not reach another, or a channel of another kind";
    for other in [
        "local.two!",
        "local.on!",
        "local.one.a!",
        "local.one",
        "local.one?a",
        "a!",
    ] {
        client.expect_nothing(&[other], rule).await;
    }
    let rule = "the process named before the `!` gets the message";
    client
        .expect(&["local.one!"], "local.one!a", &message, rule)
        .await;
    client.send("local.one", message.clone()).await;
    let rule = "a message on a normal channel is not for the process of the same name";
    client.expect_nothing(&["local.one!"], rule).await;
    client
        .expect(&["local.one"], "local.one", &message, rule)
        .await;
}

/// A process can be written to without a local part: the name up to `!` is a channel too ([ASGI:
/// Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn process_specific_without_local_part<H: Harness>(h: &H) {
    let client = client(h).await;
    let message = message! { "value" => "v1" };
    client.send("local.one!", message.clone()).await;
    let rule = "a message sent to the name up to `!` comes with that name";
    client
        .expect(&["local.one!"], "local.one!", &message, rule)
        .await;
}
