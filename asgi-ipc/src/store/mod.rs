//! Channels, messages and groups inside a segment.

mod channels;
mod groups;
