use asgiref::{Extension, message};

use crate::client::{Client, client, clients, needs, window};
use crate::harness::Harness;
use crate::outcome::Skipped;
use crate::traffic::{self, Writer};

/// A single-reader channel gives its messages in the order they were sent, and gives one whenever
/// it has one ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn single_reader_fifo<H: Harness>(h: &H) {
    let client = client(h).await;
    let made = client.new_channel("ord?").await;
    for i in 0..5 {
        client.send(made.as_str(), message! { "i" => i }).await;
    }
    for i in 0..5 {
        let rule = "a single-reader channel gives its messages in order";
        let message = message! { "i" => i };
        client
            .expect(&[made.as_str()], made.as_str(), &message, rule)
            .await;
    }
    let rule = "every message was taken";
    client.expect_nothing(&[made.as_str()], rule).await;
}

/// A process gets the messages for all its connections in the order they were sent ([ASGI:
/// Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn process_local_fifo_across_local_parts<H: Harness>(h: &H) {
    let client = client(h).await;
    let targets = ["ordp!a", "ordp!b", "ordp!a", "ordp!b"];
    for (i, target) in (0..).zip(targets) {
        client.send(target, message! { "i" => i }).await;
    }
    for (i, target) in (0..).zip(targets) {
        let rule = "a process gets its messages in order, across local parts";
        client
            .expect(&["ordp!"], target, &message! { "i" => i }, rule)
            .await;
    }
    client
        .expect_nothing(&["ordp!"], "every message was taken")
        .await;
}

/// One writer, one reader, both busy: the order is perfect and nothing is missing ([ASGI: Channel
/// Semantics]).
///
/// [ASGI: Channel Semantics]: https://channels.readthedocs.io/en/1.x/asgi.html#channel-semantics
pub async fn order_under_load<H: Harness>(h: &H) {
    const COUNT: i64 = 300;
    for (channel, target) in [("ord?x", "ord?x"), ("ord!", "ord!x")] {
        let [client, reader]: [Client<H>; 2] = clients(h).await;
        let writer = Writer {
            client,
            target: target.to_owned(),
        };
        let received = traffic::run(vec![writer], vec![reader], channel, COUNT).await;
        traffic::expect_order_of_each_writer(&received[0], 1);
        traffic::expect_all_once(&received, 1, COUNT);
    }
}

/// What one writer sends to a channel directly and through a group comes in the order it was sent
/// ([ASGI: Channel Semantics]).
///
/// [ASGI: Channel Semantics]: https://channels.readthedocs.io/en/1.x/asgi.html#channel-semantics
pub async fn order_of_group_and_direct_sends<H: Harness>(h: &H) -> Result<(), Skipped> {
    needs::<H>(Extension::Groups)?;
    let client = client(h).await;
    for (channel, member) in [("ord?x", "ord?x"), ("ord!", "ord!x")] {
        client.group_add("grp", member).await;
        let count = window::<H>().min(20) as i64;
        for i in 0..count {
            let message = message! { "i" => i };
            if i % 3 == 1 {
                client.send(member, message).await;
            } else {
                client.send_group("grp", message).await;
            }
        }
        for i in 0..count {
            let rule = "messages sent directly and through a group keep their order";
            client
                .expect(&[channel], member, &message! { "i" => i }, rule)
                .await;
        }
        client.group_discard("grp", member).await;
    }
    Ok(())
}
