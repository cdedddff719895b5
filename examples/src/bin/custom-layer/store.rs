//! Channels and groups as files. Everything here happens under one lock on the directory, so each
//! step is seen whole or not at all, by other processes too.
//!
//! ```text
//! lock
//! channels/@http.request/00001767225600000000000-
//! channels/@daphne.response.AbC!/00001767225600000000417-XyZ
//! groups/@chat-lobby/daphne.response.AbC!XyZ
//! ```
//!
//! A message's file is named for the time it was sent and the local part of its channel; a
//! member's file holds the time its membership ends. The `@` keeps a channel called `..` from
//! meaning something to the file system.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use asgiref::{ChannelName, GroupName};

/// Nanoseconds since 1970. Processes share no other clock.
pub(crate) type Time = u128;

pub(crate) fn now() -> Time {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos()
}

/// The directory, locked until this value is dropped.
pub(crate) struct Store {
    root: PathBuf,
    _lock: File,
    now: Time,
    expiry: Duration,
}

/// A message that waits in a channel.
struct Pending {
    sent: Time,
    channel: ChannelName,
    path: PathBuf,
}

impl Store {
    /// Waits for the lock. Nobody holds it for longer than a few file operations take.
    pub(crate) fn lock(root: &Path, expiry: Duration) -> io::Result<Self> {
        let lock = File::create(root.join("lock"))?;
        lock.lock()?;
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
            now: now(),
            expiry,
        })
    }

    // ---- Channels

    /// Appends a message; false if the channel holds `capacity` messages already.
    pub(crate) fn push(
        &self,
        channel: &ChannelName,
        message: &[u8],
        capacity: usize,
    ) -> io::Result<bool> {
        let pending = self.pending(channel)?;
        if pending.len() >= capacity {
            return Ok(false);
        }
        // Later than everything before it, even if the clock was set back.
        let after_last = pending.last().map_or(0, |last| last.sent + 1);
        let name = format!(
            "{:023}-{}",
            self.now.max(after_last),
            channel.local_part().unwrap_or_default()
        );
        let directory = self.channel_directory(channel);
        fs::create_dir_all(&directory)?;
        // Renamed when it is whole: a writer that dies half-way leaves no half message.
        let draft = self.root.join("draft");
        fs::write(&draft, message)?;
        fs::rename(&draft, directory.join(name))?;
        Ok(true)
    }

    /// Takes the oldest message out.
    pub(crate) fn pop(&self, channel: &ChannelName) -> io::Result<Option<(ChannelName, Vec<u8>)>> {
        let Some(oldest) = self.pending(channel)?.into_iter().next() else {
            return Ok(None);
        };
        let message = fs::read(&oldest.path)?;
        fs::remove_file(&oldest.path)?;
        Ok(Some((oldest.channel, message)))
    }

    /// Whether anything waits in the channel.
    pub(crate) fn is_in_use(&self, channel: &ChannelName) -> bool {
        self.channel_directory(channel).exists()
    }

    /// The messages of a channel that are not expired, oldest first. Those that are go, and with
    /// them the memberships of the channels they were for: nobody reads there any more.
    fn pending(&self, channel: &ChannelName) -> io::Result<Vec<Pending>> {
        let directory = self.channel_directory(channel);
        let mut live = Vec::new();
        let mut expired = Vec::new();
        for name in names_in(&directory)? {
            let Some((sent, local)) = name.split_once('-') else {
                continue;
            };
            let (Ok(sent), Ok(channel)) = (sent.parse(), full_name(channel, local)) else {
                continue;
            };
            let path = directory.join(&name);
            let pending = Pending {
                sent,
                channel,
                path,
            };
            if sent + self.expiry.as_nanos() > self.now {
                live.push(pending);
            } else {
                expired.push(pending);
            }
        }
        live.sort_unstable_by_key(|pending| pending.sent);
        for pending in &expired {
            fs::remove_file(&pending.path)?;
            for group in self.groups()? {
                self.discard(&group, &pending.channel)?;
            }
        }
        Ok(live)
    }

    // ---- Groups

    /// Makes `channel` a member until the time `until`.
    pub(crate) fn add(
        &self,
        group: &GroupName,
        channel: &ChannelName,
        until: Time,
    ) -> io::Result<()> {
        let directory = self.group_directory(group);
        fs::create_dir_all(&directory)?;
        fs::write(
            directory.join(file_name(channel.as_str())),
            until.to_string(),
        )
    }

    /// Ends a membership, if there is one.
    pub(crate) fn discard(&self, group: &GroupName, channel: &ChannelName) -> io::Result<()> {
        let directory = self.group_directory(group);
        unless_missing(fs::remove_file(directory.join(file_name(channel.as_str()))))?;
        Ok(())
    }

    /// The members of a group, without those whose membership is over.
    pub(crate) fn members(&self, group: &GroupName) -> io::Result<Vec<ChannelName>> {
        let directory = self.group_directory(group);
        let listed: Vec<ChannelName> = parsed(names_in(&directory)?).collect();
        // Looking at a channel drops what expired there, and memberships with it.
        let queues: BTreeSet<_> = listed.iter().map(ChannelName::to_non_local).collect();
        for queue in &queues {
            self.pending(queue)?;
        }
        let mut members = listed;
        let mut over = Vec::new();
        members.retain(|channel| {
            let text = fs::read_to_string(directory.join(file_name(channel.as_str())));
            let until: Option<Time> = text.ok().and_then(|text| text.parse().ok());
            let live = until.is_some_and(|until| until > self.now);
            if !live {
                over.push(channel.clone());
            }
            live
        });
        for channel in over {
            self.discard(group, &channel)?;
        }
        Ok(members)
    }

    fn groups(&self) -> io::Result<Vec<GroupName>> {
        Ok(parsed(names_in(&self.root.join("groups"))?).collect())
    }

    // ---- Everything

    /// Drops whatever is expired anywhere, and directories nothing is left in, so that channels
    /// and groups nobody looks at take no room.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        let channels: Vec<ChannelName> = parsed(names_in(&self.root.join("channels"))?).collect();
        for channel in channels {
            self.pending(&channel)?;
            remove_if_empty(&self.channel_directory(&channel));
        }
        for group in self.groups()? {
            self.members(&group)?;
            remove_if_empty(&self.group_directory(&group));
        }
        Ok(())
    }

    /// Removes all messages and groups.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for directory in ["channels", "groups"] {
            unless_missing(fs::remove_dir_all(self.root.join(directory)))?;
        }
        Ok(())
    }

    fn channel_directory(&self, channel: &ChannelName) -> PathBuf {
        self.root
            .join("channels")
            .join(file_name(channel.non_local()))
    }

    fn group_directory(&self, group: &GroupName) -> PathBuf {
        self.root.join("groups").join(file_name(group.as_str()))
    }
}

fn file_name(name: &str) -> String {
    format!("@{name}")
}

fn parsed<T: TryFrom<String>>(names: Vec<String>) -> impl Iterator<Item = T> {
    names
        .into_iter()
        .filter_map(|name| T::try_from(name.strip_prefix('@')?.to_owned()).ok())
}

/// The channel a message was sent to: its queue's name, and the local part if it has one.
fn full_name(queue: &ChannelName, local: &str) -> asgiref::Result<ChannelName> {
    if local.is_empty() {
        Ok(queue.to_non_local())
    } else {
        queue.with_local_part(local)
    }
}

/// The names of the files in `directory`; none if there is no such directory.
fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = unless_missing(fs::read_dir(directory))? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        // Names that are not text are not ours.
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a directory unless something is in it, which is the one reason for it to fail.
fn remove_if_empty(directory: &Path) {
    let _ = fs::remove_dir(directory);
}
