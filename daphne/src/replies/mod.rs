//! The way back: one reader of `daphne.response.<process>!` hands each message to the connection
//! its local part names.

mod address;
mod mailbox;
mod reader;
mod spool;
mod table;

pub(crate) use mailbox::{Limits, Mailbox, Overflow, Room};
pub(crate) use reader::read_replies;
pub(crate) use spool::SpoolSpace;
pub(crate) use table::{Addressee, ReplyTable};
