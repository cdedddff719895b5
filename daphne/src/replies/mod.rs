//! The way back: each message to `daphne.response.<process>!` goes to the connection its local part
//! names. Senders in this process hand it over themselves; other messages come by one reader.

mod address;
mod mailbox;
mod reader;
mod spool;
mod table;

pub(crate) use mailbox::{Limits, Mailbox, Overflow, Room};
pub(crate) use reader::read_replies;
pub(crate) use spool::SpoolSpace;
pub(crate) use table::{Addressee, ReplyTable};
