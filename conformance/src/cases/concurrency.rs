use asgiref::message;
use tokio::time::sleep;

use crate::client::{Client, clients, moment};
use crate::harness::Harness;
use crate::traffic::{self, Writer, finished};

/// How many messages each of the writers sends.
const COUNT: i64 = 100;

/// Four writers and four readers on one channel: each message goes to one reader, once, and below
/// capacity none gets lost ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn many_writers_many_readers<H: Harness>(h: &H) {
    let [a, b, c, d, readers @ ..]: [Client<H>; 8] = clients(h).await;
    let writers = writers([a, b, c, d], |_| "work".to_owned());
    let received = traffic::run(writers, readers.into(), "work", COUNT).await;
    traffic::expect_all_once(&received, 4, COUNT);
}

/// Four writers to a single-reader channel: nothing is lost or doubled, and the messages of each
/// come in its order ([ASGI: Linearization]).
///
/// [ASGI: Linearization]: https://channels.readthedocs.io/en/1.x/asgi.html#linearization
pub async fn many_writers_one_single_reader<H: Harness>(h: &H) {
    let [a, b, c, d, reader]: [Client<H>; 5] = clients(h).await;
    let writers = writers([a, b, c, d], |_| "work?x".to_owned());
    let received = traffic::run(writers, vec![reader], "work?x", COUNT).await;
    traffic::expect_order_of_each_writer(&received[0], 4);
    traffic::expect_all_once(&received, 4, COUNT);
}

/// The same for four writers to connections of one process ([ASGI: Linearization]).
///
/// [ASGI: Linearization]: https://channels.readthedocs.io/en/1.x/asgi.html#linearization
pub async fn many_writers_one_process<H: Harness>(h: &H) {
    let [a, b, c, d, reader]: [Client<H>; 5] = clients(h).await;
    let writers = writers([a, b, c, d], |who| format!("work!connection.{who}"));
    let received = traffic::run(writers, vec![reader], "work!", COUNT).await;
    traffic::expect_order_of_each_writer(&received[0], 4);
    traffic::expect_all_once(&received, 4, COUNT);
}

/// Of several readers that wait, each message wakes one: as many messages as readers end all
/// their waits ([ASGI: Channels and Messages]).
///
/// [ASGI: Channels and Messages]: https://channels.readthedocs.io/en/1.x/asgi.html#channels-and-messages
pub async fn each_message_wakes_one_reader<H: Harness>(h: &H) {
    let [writer, readers @ ..]: [Client<H>; 5] = clients(h).await;
    let checker = writer.clone();
    let waiting =
        readers.map(|client| tokio::spawn(async move { client.receive(&["wake", "other"]).await }));
    // Lets the receives begin; one that has not finds its message lying there.
    sleep(moment::<H>()).await;
    for i in 0..4 {
        writer.send("wake", message! { "i" => i }).await;
    }
    let mut numbers = Vec::new();
    for reader in waiting {
        let (_, message) = finished(reader, "reader that waited for one of four messages").await;
        numbers.push(message.int("i").expect("an integer was sent"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3], "each message goes to one reader");
    let rule = "each message goes to one reader, and is gone then";
    checker.expect_nothing(&["wake"], rule).await;
}

fn writers<H>(clients: [Client<H>; 4], target: impl Fn(usize) -> String) -> Vec<Writer<H>> {
    clients
        .into_iter()
        .enumerate()
        .map(|(who, client)| Writer {
            client,
            target: target(who),
        })
        .collect()
}
