//! What is measured.

use std::time::Duration;

use serde_json::json;
use tokio::runtime;

use crate::Outcome;
use crate::load;
use crate::peer::{Peer, Side, ours};
use crate::report::{Better, Comparison, Sample};
use crate::support::block_until;
use crate::support::pair::ORIGINAL;
use crate::support::port::free_port;
use crate::support::process::Process;
use crate::support::python::PythonSite;
use crate::support::server::RedisServer;

/// As many as the connections of `http`, whose requests are sent and received at the same time.
const AT_ONCE: usize = 64;

const MEMBERS: usize = 10_000;

/// How long the load on a web server lasts.
const LOAD: Duration = Duration::from_secs(3);

/// A thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// One process sends and receives: each message when the one before has come, in ours
    /// [`AT_ONCE`] at a time.
    Alone,
    /// One process sends and another receives, each one message after the other: what a program
    /// of one thread that blocks can do.
    Serial,
    /// The same, but our processes send and receive [`AT_ONCE`] messages at a time, as daphne and
    /// workers do. Python's cannot.
    Pairs,
    /// `GET /hello` on [`AT_ONCE`] connections: daphne, Redis and one worker, all processes.
    Http,
    /// One message to a group with [`MEMBERS`] at one process, from the call until the last is
    /// in that process.
    Group,
}

impl Case {
    pub(crate) const ALL: [Self; 5] = [
        Self::Alone,
        Self::Serial,
        Self::Pairs,
        Self::Http,
        Self::Group,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Serial => "serial",
            Self::Pairs => "pairs",
            Self::Http => "http",
            Self::Group => "group",
        }
    }

    pub(crate) fn measure(self, rounds: usize) -> Outcome<Comparison> {
        match self {
            Self::Alone => alone(rounds),
            Self::Serial => pairs(rounds, 1, 20_000),
            Self::Pairs => pairs(rounds, AT_ONCE, 100_000),
            Self::Http => http(rounds),
            Self::Group => group(rounds),
        }
    }
}

/// Python's process handles fewer messages, so that its turn does not take longer.
const PYTHON_PAIRS: usize = 5_000;

fn alone(rounds: usize) -> Outcome<Comparison> {
    let server = RedisServer::start();
    let ours = Side::Ours { at_once: AT_ONCE };
    let mut ours = Peer::start(ours, "both", &server, 20 * PYTHON_PAIRS)?;
    let mut theirs = Peer::start(Side::Python, "both", &server, PYTHON_PAIRS)?;
    let mut comparison = Comparison {
        what: "messages sent and received by one process",
        unit: "per second",
        better: Better::More,
        target: Some(20.0),
        ours: Vec::new(),
        theirs: Vec::new(),
    };
    for round in 0..=rounds {
        let turns = [
            (&mut ours, &mut comparison.ours),
            (&mut theirs, &mut comparison.theirs),
        ];
        for (peer, samples) in turns {
            peer.begin()?;
            let done = peer.done()?;
            if round > 0 {
                let figure = done.messages as f64 / done.at;
                samples.push(Sample { figure, lost: 0 });
            }
        }
    }
    Ok(comparison)
}

fn pairs(rounds: usize, at_once: usize, count: usize) -> Outcome<Comparison> {
    let server = RedisServer::start();
    let ours = Side::Ours { at_once };
    let mut ours = Exchange::start(ours, "send", "receive", &server, count)?;
    let mut theirs = Exchange::start(Side::Python, "send", "receive", &server, PYTHON_PAIRS)?;
    let mut comparison = Comparison {
        what: if at_once == 1 {
            "messages sent and received, one after the other"
        } else {
            "messages sent and received, 64 at once"
        },
        unit: "per second",
        better: Better::More,
        target: (at_once > 1).then_some(20.0),
        ours: Vec::new(),
        theirs: Vec::new(),
    };
    // The first round of each is to get warm.
    for round in 0..=rounds {
        let turns = [
            (&mut ours, &mut comparison.ours),
            (&mut theirs, &mut comparison.theirs),
        ];
        for (exchange, samples) in turns {
            let (elapsed, lost) = exchange.run()?;
            if round > 0 {
                let figure = (exchange.count - lost) as f64 / elapsed;
                samples.push(Sample { figure, lost });
            }
        }
    }
    Ok(comparison)
}

fn group(rounds: usize) -> Outcome<Comparison> {
    let server = RedisServer::start();
    let ours = Side::Ours { at_once: 1 };
    let mut join = Peer::start(ours, "join", &server, MEMBERS)?;
    join.begin()?;
    join.done()?;
    let mut comparison = Comparison {
        what: "a message to a group of 10,000 at one process, until the last is there",
        unit: "ms",
        better: Better::Less,
        target: Some(100.0),
        ours: Vec::new(),
        theirs: Vec::new(),
    };
    for round in 0..=rounds {
        let turns = [
            (ours, &mut comparison.ours),
            (Side::Python, &mut comparison.theirs),
        ];
        for (side, samples) in turns {
            // On one channel there can be only one process at a time.
            let mut exchange =
                Exchange::start(side, "send-group", "receive-group", &server, MEMBERS)?;
            exchange.run()?;
            let (elapsed, lost) = exchange.run()?;
            if round > 0 {
                let figure = elapsed * 1_000.0;
                samples.push(Sample { figure, lost });
            }
        }
    }
    Ok(comparison)
}

/// A sender and a receiver.
struct Exchange {
    sender: Peer,
    receiver: Peer,
    count: usize,
}

impl Exchange {
    fn start(
        side: Side,
        sender: &str,
        receiver: &str,
        server: &RedisServer,
        count: usize,
    ) -> Outcome<Self> {
        Ok(Self {
            sender: Peer::start(side, sender, server, count)?,
            receiver: Peer::start(side, receiver, server, count)?,
            count,
        })
    }

    /// How many seconds it took from the first message's sending to the last one's arrival, and
    /// how many did not arrive.
    fn run(&mut self) -> Outcome<(f64, usize)> {
        self.receiver.begin()?;
        // Until it waits.
        pause(Duration::from_millis(300));
        self.sender.begin()?;
        let received = self.receiver.done()?;
        let sent = self.sender.done()?;
        Ok((received.at - sent.at, self.count - received.messages))
    }
}

fn http(rounds: usize) -> Outcome<Comparison> {
    let servers = RedisServer::several(2);
    let (here, there) = (free_port(), free_port());
    let mut command = ours("daphne")?;
    command.args([servers[0].url(), here.to_string()]);
    let daphne = Process::start("our daphne", &command);
    let mut command = ours("worker")?;
    command.arg(servers[0].url());
    let worker = Process::start("our worker", &command);
    let site = PythonSite::new(ORIGINAL, json!({"hosts": [servers[1].url()]})).quiet();
    let _processes = [daphne, worker, site.daphne(there), site.worker()];
    for port in [here, there] {
        let address = (std::net::Ipv4Addr::LOCALHOST, port);
        block_until("daphne to listen", || {
            std::net::TcpStream::connect(address).is_ok()
        });
    }
    // One thread: the load must leave room for the servers.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut comparison = Comparison {
        what: "GET /hello on 64 connections, by daphne, Redis and a worker",
        unit: "per second",
        better: Better::More,
        target: Some(15.0),
        ours: Vec::new(),
        theirs: Vec::new(),
    };
    for round in 0..=rounds {
        let turns = [
            (here, &mut comparison.ours),
            (there, &mut comparison.theirs),
        ];
        for (port, samples) in turns {
            let figure = runtime.block_on(load::run(port, AT_ONCE, LOAD))?;
            if round > 0 {
                samples.push(Sample { figure, lost: 0 });
            }
        }
    }
    Ok(comparison)
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is the one thread of a benchmark"
)]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
