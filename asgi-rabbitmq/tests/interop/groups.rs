//! Groups with members on both sides, in the form that both have.
//!
//! Both sides pass group messages on to process-specific members, whoever sent them. Calls of
//! Python block the test's thread, on which our side must not depend meanwhile: each test has
//! threads of its own for it.

use std::collections::BTreeSet;

use asgi_rabbitmq::RabbitmqChannelLayer;
use asgiref::{ChannelLayer, ChannelLayerExt as _, Groups, Message, message};

use crate::support::pair::{Settings, channel, group, take};
use crate::support::python::PythonLayer;
use crate::support::{LIMIT, within};

fn groups(layer: &RabbitmqChannelLayer) -> &dyn Groups {
    layer.require_groups().expect("the layer has groups")
}

/// None ends with the `!`: its own queue would have the name of its process's.
const MEMBERS: [&str; 5] = [
    "normal",
    "process.A!one",
    "process.A!two",
    "process.B!three",
    "single?abc",
];

const QUEUES: [&str; 4] = ["normal", "process.A!", "process.B!", "single?abc"];

/// Whoever adds members, sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Python,
}

use Side::{Ours, Python};

/// One layer of each kind.
struct Pair {
    ours: RabbitmqChannelLayer,
    theirs: PythonLayer<'static>,
}

impl Pair {
    fn new() -> Self {
        let settings = Settings::shared().compatible_groups();
        Self {
            ours: settings.ours(),
            theirs: settings.theirs(),
        }
    }

    /// Single-reader channels are declared by whoever reads them.
    async fn prepare(&self, reader: Side) {
        match reader {
            Ours => {
                let names = QUEUES.map(channel);
                assert_eq!(self.ours.try_receive(&names).await.expect("it works"), None);
            }
            Python => assert_eq!(self.theirs.try_receive(&QUEUES), Ok(None)),
        }
    }

    async fn add(&self, side: Side, name: &str, member: &str) {
        match side {
            Ours => {
                let (name, member) = (group(name), channel(member));
                let added = groups(&self.ours).group_add(&name, &member);
                within("group_add", added).await.expect("added");
            }
            Python => self.theirs.group_add(name, member).expect("added"),
        }
    }

    async fn discard(&self, side: Side, name: &str, member: &str) {
        match side {
            Ours => {
                let (name, member) = (group(name), channel(member));
                let discarded = groups(&self.ours).group_discard(&name, &member);
                within("group_discard", discarded).await.expect("discarded");
            }
            Python => self.theirs.group_discard(name, member).expect("discarded"),
        }
    }

    async fn send(&self, side: Side, name: &str, message: &Message) {
        match side {
            Ours => {
                let name = group(name);
                let sent = groups(&self.ours).send_group(&name, message.clone());
                within("send_group", sent).await.expect("sent");
            }
            Python => self.theirs.send_group(name, message).expect("sent"),
        }
    }

    /// The next message on any of `queues`, which must come.
    async fn receive(&self, side: Side, queues: &[&str]) -> (String, Message) {
        match side {
            Ours => {
                let names: Vec<_> = queues.iter().copied().map(channel).collect();
                let received = within("a message", self.ours.receive(&names)).await;
                received
                    .map(|(name, message)| (name.to_string(), message))
                    .expect("the layer works")
            }
            Python => receive_in_python(&self.theirs, queues),
        }
    }

    /// Which members a message reaches; each once.
    async fn reached(&self, reader: Side, message: &Message, count: usize) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        for _ in 0..count {
            let (member, received) = self.receive(reader, &QUEUES).await;
            assert_eq!(received, *message);
            assert!(reached.insert(member.clone()), "{member} got it twice");
        }
        reached
    }
}

/// The original has no limit to how long it waits.
fn receive_in_python(theirs: &PythonLayer<'_>, queues: &[&str]) -> (String, Message) {
    let begin = std::time::Instant::now();
    while begin.elapsed() < LIMIT {
        if let Some(received) = theirs.try_receive(queues).expect("no exception") {
            return received;
        }
    }
    panic!("Python receives nothing on {queues:?}")
}

/// Every combination of who reads, who joins and who sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_reached_whoever_joins_sends_and_reads() {
    let everybody = BTreeSet::from(MEMBERS.map(str::to_owned));
    for reader in [Ours, Python] {
        for joiner in [Ours, Python] {
            let pair = Pair::new();
            pair.prepare(reader).await;
            for member in MEMBERS {
                pair.add(joiner, "chat", member).await;
            }
            for sender in [Ours, Python] {
                let message = message! { "text" => format!("{sender:?} sends") };
                pair.send(sender, "chat", &message).await;
                let reached = pair.reached(reader, &message, MEMBERS.len()).await;
                assert_eq!(reached, everybody, "{reader:?} {joiner:?} {sender:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_side_ends_memberships_that_the_other_began() {
    for (one, other) in [(Ours, Python), (Python, Ours)] {
        let pair = Pair::new();
        pair.prepare(Ours).await;
        for member in MEMBERS {
            pair.add(one, "chat", member).await;
        }
        for member in ["normal", "process.A!two", "single?abc"] {
            pair.discard(other, "chat", member).await;
        }
        for sender in [Ours, Python] {
            let message = message! { "text" => format!("{sender:?} sends") };
            pair.send(sender, "chat", &message).await;
            let reached = pair.reached(Ours, &message, 2).await;
            let rest = ["process.A!one", "process.B!three"].map(str::to_owned);
            assert_eq!(reached, BTreeSet::from(rest));
        }
        // Whatever was sent to others would have come before this.
        let last = message! { "text" => "last" };
        for queue in QUEUES {
            let name = if queue.ends_with('!') {
                format!("{queue}last")
            } else {
                queue.to_owned()
            };
            let sent = pair.ours.send(&channel(&name), last.clone()).await;
            sent.expect("there is room");
            assert_eq!(pair.receive(Ours, &[queue]).await, (name, last.clone()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_nobody_joined_are_empty_for_both() {
    let pair = Pair::new();
    for side in [Ours, Python] {
        pair.send(side, "nobody", &message! {}).await;
        pair.discard(side, "nobody", "normal").await;
        pair.discard(side, "nobody", "process!one").await;
    }
    // Both work on.
    let settings = message! { "text" => "still here" };
    pair.theirs
        .send("normal", &settings)
        .expect("there is room");
    assert_eq!(take(&pair.ours, "normal").await.1, settings);
}

/// A process of ours and one of Python's, each with many members in one group: every member gets
/// each message once, whichever side sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_both_kinds_share_a_group() {
    const EACH: usize = 20;
    let pair = Pair::new();
    let mut all = BTreeSet::new();
    for number in 0..EACH {
        for (side, prefix) in [(Ours, "ours"), (Python, "theirs")] {
            let member = format!("{prefix}.response!{number}");
            pair.add(side, "crowd", &member).await;
            all.insert(member);
        }
    }
    let queues = [(Ours, "ours.response!"), (Python, "theirs.response!")];
    for (_, queue) in queues {
        assert_eq!(pair.theirs.try_receive(&[queue]), Ok(None));
    }
    for (text, sender) in [("from us", Ours), ("from Python", Python), ("again", Ours)] {
        let message = message! { "text" => text };
        pair.send(sender, "crowd", &message).await;
        let mut reached = BTreeSet::new();
        for (side, queue) in queues {
            for _ in 0..EACH {
                let (member, received) = pair.receive(side, &[queue]).await;
                assert_eq!(received, message);
                assert!(reached.insert(member.clone()), "{member} got it twice");
            }
        }
        assert_eq!(reached, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_may_be_encrypted() {
    let settings = Settings::shared().compatible_groups().keys(&["a secret"]);
    let pair = Pair {
        ours: settings.ours(),
        theirs: settings.theirs(),
    };
    pair.prepare(Ours).await;
    for (number, member) in MEMBERS.into_iter().enumerate() {
        let side = if number % 2 == 0 { Ours } else { Python };
        pair.add(side, "chat", member).await;
    }
    for sender in [Ours, Python] {
        let message = message! { "text" => format!("{sender:?} sends") };
        pair.send(sender, "chat", &message).await;
        let reached = pair.reached(Ours, &message, MEMBERS.len()).await;
        assert_eq!(reached, BTreeSet::from(MEMBERS.map(str::to_owned)));
    }
}
