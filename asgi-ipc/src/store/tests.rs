//! The store against a plain model of it, with a process that is killed between any two stores.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use crate::error::Error;
use crate::file;
use crate::layout::{LIVE, MIN_GROUP_MEMORY, MIN_MESSAGE_MEMORY, Pool, group, node};
use crate::segment::{Checked, Segment};

use super::queue::Queue as _;
use super::{Locked, Outgoing, Quick, Store, Taken};
use crate::support::Segments;

const HOUR: Duration = Duration::from_secs(3600);
const CAPACITY: usize = 6;

const CHANNELS: [&str; 4] = ["one", "two?x", "three!", "four!"];
const GROUPS: [&str; 2] = ["g", "h"];

/// What a store is meant to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    /// Local part and bytes of each message, by channel. No channel is empty.
    queues: BTreeMap<String, VecDeque<(String, Vec<u8>)>>,
    /// Channel and local part of each member, by group. No group is empty.
    groups: BTreeMap<String, BTreeSet<(String, String)>>,
}

#[derive(Clone, Debug)]
enum Operation {
    Send {
        channel: usize,
        local: usize,
        size: usize,
    },
    Pop {
        channel: usize,
    },
    Add {
        group: usize,
        channel: usize,
        local: usize,
    },
    Discard {
        group: usize,
        channel: usize,
        local: usize,
    },
    SendGroup {
        group: usize,
        size: usize,
    },
    Flush,
}

/// A local part for the channel, if it has local parts: short, or too long for its record.
fn local(channel: usize, local: usize) -> String {
    if CHANNELS[channel].ends_with('!') {
        ["", "short", &"long".repeat(20)][local].to_owned()
    } else {
        String::new()
    }
}

fn bytes(number: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (number * 31 + at) as u8).collect()
}

impl Model {
    fn push(&mut self, channel: &str, local: String, bytes: Vec<u8>) {
        let queue = self.queues.entry(channel.to_owned()).or_default();
        if queue.len() < CAPACITY {
            queue.push_back((local, bytes));
        }
    }

    fn apply(&mut self, operation: &Operation, number: usize) {
        match *operation {
            Operation::Send {
                channel,
                local: which,
                size,
            } => self.push(
                CHANNELS[channel],
                local(channel, which),
                bytes(number, size),
            ),
            Operation::Pop { channel } => {
                if let Some(queue) = self.queues.get_mut(CHANNELS[channel]) {
                    queue.pop_front();
                }
            }
            Operation::Add {
                group,
                channel,
                local: which,
            } => {
                let members = self.groups.entry(GROUPS[group].to_owned()).or_default();
                members.insert((CHANNELS[channel].to_owned(), local(channel, which)));
            }
            Operation::Discard {
                group,
                channel,
                local: which,
            } => {
                if let Some(members) = self.groups.get_mut(GROUPS[group]) {
                    members.remove(&(CHANNELS[channel].to_owned(), local(channel, which)));
                }
            }
            // In which order the members of a process get it is not said.
            Operation::SendGroup { .. } => {}
            Operation::Flush => *self = Self::default(),
        }
        self.queues.retain(|_, queue| !queue.is_empty());
        self.groups.retain(|_, members| !members.is_empty());
    }

    /// Whether what a process that was killed in `operation` left is a beginning of it.
    fn may_become(&self, found: &Self, operation: &Operation, number: usize) -> bool {
        if let Operation::SendGroup { group, size } = *operation {
            return self.was_sent_to(GROUPS[group], &bytes(number, size), found, false);
        }
        let mut after = self.clone();
        after.apply(operation, number);
        found == self || *found == after
    }

    /// Whether members have got `sent`, each once, all as far as there is room if `complete`, and
    /// nothing else has changed. In which order is not said.
    fn was_sent_to(&self, group: &str, sent: &[u8], found: &Self, complete: bool) -> bool {
        let members = self.groups.get(group).cloned().unwrap_or_default();
        let names: BTreeSet<_> = self.queues.keys().chain(found.queues.keys()).collect();
        let none = VecDeque::new();
        found.groups == self.groups
            && names.into_iter().all(|name| {
                let before = self.queues.get(name).unwrap_or(&none);
                let queue = found.queues.get(name).unwrap_or(&none);
                let news: Vec<_> = queue.iter().skip(before.len()).collect();
                let locals: BTreeSet<_> = news.iter().map(|(local, _)| local).collect();
                let member = |local: &String| members.contains(&(name.clone(), local.clone()));
                let here = members
                    .iter()
                    .filter(|(channel, _)| channel == name)
                    .count();
                let room = (CAPACITY - before.len()).min(here);
                queue.iter().zip(before).all(|(is, was)| is == was)
                    && queue.len() >= before.len()
                    && locals.len() == news.len()
                    && news
                        .iter()
                        .all(|(local, bytes)| bytes == sent && member(local))
                    && (!complete || news.len() == room)
            })
    }
}

impl Store {
    fn apply(&self, operation: &Operation, number: usize) -> Result<(), Error> {
        match *operation {
            Operation::Send {
                channel,
                local: which,
                size,
            } => {
                let (local, bytes) = (local(channel, which), bytes(number, size));
                let outgoing = Outgoing {
                    name: CHANNELS[channel],
                    local: &local,
                    message: &bytes,
                    capacity: CAPACITY,
                    expiry: HOUR,
                };
                self.send(&outgoing).map(drop)
            }
            Operation::Pop { channel } => {
                let read = |taken: Option<Taken>, segment: &Segment| {
                    taken.map(|taken| taken.read(segment)).transpose()
                };
                match self.take_quickly(CHANNELS[channel]) {
                    Quick::Message(_) | Quick::Nothing => Ok(()),
                    Quick::Unsure => self
                        .receive(|locked| locked.pop(CHANNELS[channel]), read)
                        .map(drop),
                }
            }
            Operation::Add {
                group,
                channel,
                local: which,
            } => {
                let local = local(channel, which);
                self.run(|locked| locked.add(GROUPS[group], CHANNELS[channel], &local, HOUR))
                    .map(drop)
            }
            Operation::Discard {
                group,
                channel,
                local: which,
            } => {
                let local = local(channel, which);
                self.run(|locked| locked.discard(GROUPS[group], CHANNELS[channel], &local))
                    .map(drop)
            }
            Operation::SendGroup { group, size } => {
                let bytes = bytes(number, size);
                self.run_once(|locked| locked.send_group(GROUPS[group], &bytes, |_| CAPACITY, HOUR))
                    .map(drop)
            }
            Operation::Flush => self.run(|locked| locked.flush()).map(drop),
        }
    }

    fn contents(&self) -> Model {
        self.run(|locked| locked.contents()).unwrap().0
    }

    fn repair(&self) {
        self.run(|locked| locked.repair()).unwrap();
    }
}

impl Locked<'_> {
    /// All that is there, found by going through it; what is counted must agree.
    fn contents(&self) -> Checked<Model> {
        let mut model = Model::default();
        let (mut messages, mut members) = (0, 0);
        for channel in self.live_channels()? {
            let name = self.name_of(channel)?;
            assert_eq!(self.find_channel(&name)?, Some(channel), "{name} is found");
            let mut queue = VecDeque::new();
            let front = self.store.queue(channel).front()?;
            let mut number = front.oldest().unwrap_or(0);
            while number != 0 {
                let at = self.layout().nodes.at(number)?;
                let local = String::from_utf8(self.read_local(at + node::LOCAL)?).unwrap();
                queue.push_back((local, self.read_body(self.get(at + node::BODY)?)?));
                number = self.get(at + node::NEXT)?;
            }
            assert_eq!(self.pending(channel)? as usize, queue.len(), "of {name}");
            messages += queue.len();
            if !queue.is_empty() {
                model.queues.insert(name, queue);
            }
        }
        for number in 1..=self.highest(Pool::Groups)? {
            let at = self.layout().groups.at(number)?;
            if self.get(at + group::STATE)? != LIVE {
                continue;
            }
            let name = self.read_name(at + group::NAME_LENGTH, at + group::NAME)?;
            assert_eq!(self.find_group(&name)?, Some(number), "{name} is found");
            let names: BTreeSet<_> = self
                .members(&name)?
                .into_iter()
                .map(|member| match member.split_once('!') {
                    Some((head, local)) => (format!("{head}!"), local.to_owned()),
                    None => (member, String::new()),
                })
                .collect();
            assert_eq!(self.get(at + group::COUNT)? as usize, names.len());
            members += names.len();
            model.groups.insert(name, names);
        }
        for (pool, count) in [
            (Pool::Nodes, messages),
            (Pool::Groups, model.groups.len()),
            (Pool::Memberships, members),
        ] {
            assert_eq!(self.used(pool)? as usize, count, "of {pool:?}");
        }
        if messages + members == 0 {
            assert_eq!(self.used(Pool::Blocks)?, 0, "blocks of an empty store");
        }
        Ok(model)
    }
}

fn operations() -> impl Strategy<Value = Vec<(Operation, Option<u64>)>> {
    let (channel, local, group) = (0..CHANNELS.len(), 0..3usize, 0..GROUPS.len());
    let size = prop_oneof![0..300usize, 0..2000usize];
    let operation = prop_oneof![
        6 => (channel.clone(), local.clone(), size.clone())
            .prop_map(|(channel, local, size)| Operation::Send { channel, local, size }),
        5 => channel.clone().prop_map(|channel| Operation::Pop { channel }),
        4 => (group.clone(), channel.clone(), local.clone())
            .prop_map(|(group, channel, local)| Operation::Add { group, channel, local }),
        2 => (group.clone(), channel, local)
            .prop_map(|(group, channel, local)| Operation::Discard { group, channel, local }),
        3 => (group, size).prop_map(|(group, size)| Operation::SendGroup { group, size }),
        1 => Just(Operation::Flush),
    ];
    let death = prop_oneof![
        Just(None),
        (0..60u64).prop_map(Some),
        (0..400u64).prop_map(Some)
    ];
    proptest::collection::vec((operation, death), 1..60)
}

pub(super) fn open(directory: &std::path::Path) -> Store {
    let path = file::path(directory, "model");
    let opened = file::open_or_create(&path, 0o600, MIN_MESSAGE_MEMORY, MIN_GROUP_MEMORY).unwrap();
    Store::open(&path, &opened, 0o600, HOUR).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_store_does_what_the_model_does_whenever_its_process_dies(operations in operations()) {
        let directory = Segments::new();
        let store = open(directory.path());
        let mut model = Model::default();
        for (number, (operation, death)) in operations.iter().enumerate() {
            match death {
                None => {
                    store.apply(operation, number).unwrap();
                    model.apply(operation, number);
                    // A repair changes nothing where there is nothing to be repaired.
                    if number % 5 == 0 {
                        store.repair();
                    }
                    let found = store.contents();
                    if let Operation::SendGroup { group, size } = *operation {
                        let bytes = bytes(number, size);
                        prop_assert!(model.was_sent_to(GROUPS[group], &bytes, &found, true));
                    } else {
                        prop_assert_eq!(&found, &model);
                    }
                    model = found;
                }
                Some(stores) => {
                    let victim = open(directory.path());
                    victim.run(|locked| locked.fill_hand()).unwrap();
                    victim.segment.die_after(*stores);
                    // What it returns, nobody learns.
                    let _ = victim.apply(operation, number);
                    // It does not even leave.
                    victim.segment.die_after(0);
                    drop(victim);
                    store.repair();
                    let found = store.contents();
                    prop_assert!(
                        model.may_become(&found, operation, number),
                        "{:?} after {} stores of {:?} in {:?}", found, stores, operation, model
                    );
                    model = found;
                }
            }
        }
        store.run(|locked| locked.flush()).unwrap();
        for pool in Pool::ALL {
            let left = store.run(|locked| Ok((locked.used(pool)?, locked.highest(pool)?)));
            prop_assert_eq!(left.unwrap().0, (0, 0), "of {:?}", pool);
        }
    }

    #[test]
    fn a_repair_that_is_interrupted_is_done_by_the_next(
        operations in operations(),
        deaths in proptest::collection::vec(0..2000u64, 1..5),
    ) {
        let directory = Segments::new();
        let store = open(directory.path());
        for (number, (operation, _)) in operations.iter().enumerate() {
            store.apply(operation, number).unwrap();
        }
        let before = store.contents();
        for stores in deaths {
            store.segment.die_after(stores);
            let _ = store.run(|locked| locked.repair());
        }
        store.segment.die_after(u64::MAX);
        store.repair();
        prop_assert_eq!(store.contents(), before);
    }
}
