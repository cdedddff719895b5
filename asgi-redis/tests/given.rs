//! Messages that are given to a process that waits, without being stored.

mod support;

use asgi_redis::RedisChannelLayer;
use asgiref::{ChannelLayer as _, message};
use support::names::{channel, take};
use support::pair::Settings;
use support::resp::Connection;
use support::server::RedisServer;
use support::{until, within};

const CHANNELS: [&str; 3] = ["work", "single?reader", "process!"];

struct Site {
    server: RedisServer,
    settings: Settings,
    sender: RedisChannelLayer,
    receiver: RedisChannelLayer,
}

impl Site {
    fn new() -> Self {
        let server = RedisServer::start();
        let settings = Settings::on([&server]);
        Self {
            sender: settings.ours(),
            receiver: settings.ours(),
            settings,
            server,
        }
    }

    async fn send(&self, name: &str, number: i64) {
        let message = message! { "number" => number };
        let sent = self.sender.send(&channel(name), message).await;
        sent.expect("sent");
    }

    /// Receives one message that was sent once the receiver had bid.
    async fn pass_on(&self, name: &str, number: i64) {
        let receiving = async {
            let (_, received) = take(&self.receiver, name).await;
            assert_eq!(received, message! { "number" => number });
        };
        let sending = async {
            self.bid_on(name).await;
            self.send(name, number).await;
        };
        within("a message", async { tokio::join!(receiving, sending) }).await;
    }

    /// Waits until somebody has bid for messages of `name`.
    async fn bid_on(&self, name: &str) {
        until(format!("a bid for {name}"), || self.bids_on(name) > 0).await;
    }

    /// Ends the connection on which the receiver listens, with another in its place that nobody reads:
    /// as far as the server knows, the receiver listens on.
    fn replace_by_dead_connection(&self) -> Connection {
        let name = self.server.command(&["PUBSUB", "CHANNELS"]);
        let listening = self.server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]);
        let id = listening.text().split(' ').next();
        let id = id
            .and_then(|field| field.strip_prefix("id="))
            .expect("its number");
        let mut dead = self.server.connect();
        dead.call(&["SUBSCRIBE", name.texts()[0]])
            .expect("subscribed");
        let killed = self.server.command(&["CLIENT", "KILL", "ID", id]);
        assert_eq!(killed.int(), 1);
        dead
    }

    /// How many processes take a message of `name` now.
    fn bids_on(&self, name: &str) -> usize {
        let key = self.settings.key(&format!(":bids:{name}"));
        let bids = self.server.command(&["SMEMBERS", &key]);
        let open = bids.texts().into_iter().filter(|bid| {
            let key = self.settings.key(&format!(":bid:{bid}"));
            // There is none if it expired meanwhile.
            let left = self.server.command(&[
                "EVAL",
                "return redis.call('GET', KEYS[1]) or '0'",
                "1",
                &key,
            ]);
            left.text() != "0"
        });
        open.count()
    }
}

#[tokio::test]
async fn a_message_for_a_process_that_waits_is_not_stored() {
    let site = Site::new();
    for name in CHANNELS {
        // That it waits for something new is told to it through a list, too.
        site.pass_on(name, 0).await;
        let before = site.server.calls("rpush");
        for number in 1..=20 {
            site.pass_on(name, number).await;
        }
        let stored = site.server.calls("rpush") - before;
        assert_eq!(stored, 0, "{name}: {stored} of 20 stored");
    }
}

#[tokio::test]
async fn a_large_message_is_stored() {
    let site = Site::new();
    let body = "x".repeat(100_000);
    for name in CHANNELS {
        let receiving = take(&site.receiver, name);
        let sending = async {
            site.bid_on(name).await;
            let message = message! { "body" => body.clone() };
            let sent = site.sender.send(&channel(name), message).await;
            sent.expect("sent");
        };
        let before = site.server.calls("rpush");
        let ((_, received), ()) = tokio::join!(receiving, sending);
        assert_eq!(received, message! { "body" => body.clone() });
        assert_eq!(site.server.calls("rpush") - before, 1);
    }
}

/// The server knows at once, and stores what it cannot give.
#[tokio::test]
async fn nothing_is_given_to_a_connection_that_was_closed() {
    let site = Site::new();
    for name in CHANNELS {
        site.pass_on(name, 0).await;
        let receiving = async {
            for number in 1..=20 {
                let (_, received) = take(&site.receiver, name).await;
                assert_eq!(received, message! { "number" => number });
            }
        };
        let sending = async {
            site.bid_on(name).await;
            let killed = site.server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            assert_eq!(killed.int(), 1);
            for number in 1..=20 {
                site.send(name, number).await;
            }
        };
        within("all messages", async { tokio::join!(receiving, sending) }).await;
    }
}

/// The server may still believe in the one before, which is dead without a word: what is meant for
/// the new one must not go there.
#[tokio::test]
async fn a_new_connection_that_listens_has_a_name_of_its_own() {
    let site = Site::new();
    let names = || {
        let names = site.server.command(&["PUBSUB", "CHANNELS"]);
        names.texts().len()
    };
    site.pass_on("work", 0).await;
    let _dead = site.replace_by_dead_connection();
    // What is sent before the receiver has noticed is lost with the connection.
    let sending = async {
        until("another name", || names() == 2).await;
        site.send("work", 1).await;
    };
    let ((_, received), ()) = tokio::join!(take(&site.receiver, "work"), sending);
    assert_eq!(received, message! { "number" => 1 });
    for number in 2..=20 {
        site.pass_on("work", number).await;
    }
    assert_eq!(names(), 2);
    assert_eq!(site.receiver.figures().interrupted_receives, 1);
}

#[tokio::test]
async fn no_more_than_was_bid_for_is_lost_with_a_connection_that_is_dead_without_a_word() {
    const BID: i64 = 16;
    const MESSAGES: i64 = 60;
    let site = Site::new();
    site.pass_on("process!", 0).await;
    let receiving = async {
        let (_, first) = take(&site.receiver, "process!").await;
        let first = first.int("number").expect("a number");
        for number in first + 1..=MESSAGES {
            let (_, message) = take(&site.receiver, "process!").await;
            assert_eq!(message, message! { "number" => number });
        }
        first
    };
    let sending = async {
        site.bid_on("process!").await;
        let dead = site.replace_by_dead_connection();
        for number in 1..=MESSAGES {
            site.send("process!", number).await;
        }
        dead
    };
    let (first, _dead) = within("the rest", async { tokio::join!(receiving, sending) }).await;
    assert!((1..=BID + 1).contains(&first), "lost all before {first}");
    let interrupted = site.receiver.figures().interrupted_receives;
    assert!(interrupted >= 1 || first == 1, "not counted");
}

/// Redis 7 grants a new user no channels to publish on or subscribe to unless it is told to.
#[tokio::test]
async fn a_user_who_may_not_subscribe_gets_messages_all_the_same() {
    let site = Site::new();
    let rules = [
        "ACL",
        "SETUSER",
        "plain",
        "on",
        ">secret",
        "~*",
        "+@all",
        "resetchannels",
    ];
    site.server.command(&rules);
    let url = format!("redis://plain:secret@127.0.0.1:{}", site.server.port());
    let layer = site.settings.clone().reached_at([url]).ours();
    for name in CHANNELS {
        let waited_for = channel(name);
        let sending = async {
            site.bid_on(name).await;
            let message = message! { "to" => "a bidder" };
            let sent = layer.send(&waited_for, message).await;
            sent.expect("sent");
        };
        let ((_, received), ()) = tokio::join!(take(&site.receiver, name), sending);
        assert_eq!(received, message! { "to" => "a bidder" });

        let name = format!("other.{name}");
        let sending = async {
            until("the user to wait", || {
                let clients = site.server.command(&["CLIENT", "LIST"]);
                let mut lines = clients.text().lines();
                lines.any(|line| line.contains("cmd=blpop") && line.contains("user=plain"))
            })
            .await;
            site.send(&name, 1).await;
        };
        let ((_, received), ()) = tokio::join!(take(&layer, &name), sending);
        assert_eq!(received, message! { "number" => 1 });
    }
}

/// Whether the message comes before, while, or after the receiver goes away.
#[tokio::test]
async fn a_receiver_that_goes_away_leaves_what_was_given_to_others() {
    let site = Site::new();
    let other = site.settings.ours();
    for round in 0..60 {
        let name = CHANNELS[round % 2];
        let number = round as i64;
        let channels = [channel(name)];
        let receiving = site.receiver.receive(&channels);
        let sending = async {
            site.bid_on(name).await;
            site.send(name, number).await;
            // Lets the message come more or less far.
            for _ in 0..round / 4 {
                tokio::task::yield_now().await;
            }
        };
        let received = tokio::select! {
            biased;
            () = sending => None,
            received = receiving => Some(received.expect("received").1),
        };
        let received = match received {
            Some(message) => message,
            None => within("the message", take(&other, name)).await.1,
        };
        assert_eq!(received, message! { "number" => number });
    }
}

#[tokio::test]
async fn bids_are_shared_out_among_processes() {
    let site = Site::new();
    let other = site.settings.ours();
    let receive = async |layer: &RedisChannelLayer| {
        let mut count = 0;
        while take(layer, "work").await.1 != message! { "number" => -1 } {
            count += 1;
        }
        count
    };
    let sending = async {
        for number in 0..200 {
            until("two bids", || site.bids_on("work") == 2).await;
            site.send("work", number).await;
        }
        site.send("work", -1).await;
        site.send("work", -1).await;
    };
    let (here, there, ()) = tokio::join!(receive(&site.receiver), receive(&other), sending);
    assert_eq!(here + there, 200);
    assert!(here >= 20 && there >= 20, "{here} and {there}");
}
