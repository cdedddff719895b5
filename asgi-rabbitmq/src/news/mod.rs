//! What processes tell each other: who joins and leaves groups, whose messages expired, and that
//! all is to be forgotten.
//!
//! Everything that concerns a group is an event. It is published to one exchange, from where it
//! goes to the group's log, a queue that keeps it, and to the queue of every process that follows
//! the group. A process that wants to know a group's members reads the log once and follows the
//! group from then on: the list is in its memory and always up to date.
//!
//! Up to date is meant strictly: before a process uses what it knows it sends itself a mark. What
//! was confirmed to anybody before that lies in its queue before the mark.

mod ear;
mod event;
mod log;
mod members;

pub(crate) use ear::Ear;
pub(crate) use event::{Event, now};
pub(crate) use log::{append, read_log};
